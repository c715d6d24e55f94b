package proc

// State is what a process does at the moment, as its main thread does.
type State uint8

// The states of processes.
const (
	Running  State = iota // R: runs or waits for a processor
	Sleeping              // S, I: waits for something that may never come
	Waiting               // D: waits for a disk or a file server, and cannot be killed meanwhile
	Stopped               // T, t: by a signal or a debugger
	Zombie                // Z: it has ended, and its parent has not taken note
	Other
	States = iota
)

// String returns the value of the label state.
func (s State) String() string {
	return [...]string{"running", "sleeping", "waiting", "stopped", "zombie", "other"}[s]
}

// stateOf reads the letter of the kernel.
func stateOf(letter byte) State {
	switch letter {
	case 'R':
		return Running
	case 'S', 'I':
		return Sleeping
	case 'D':
		return Waiting
	case 'T', 't':
		return Stopped
	case 'Z':
		return Zombie
	}
	return Other
}

// countZombies counts the members that have ended and whose parents have not taken note.
func (t *Tracker) countZombies() {
	for _, p := range t.procs {
		if p.life == zombie && p.last != nil {
			p.last.sum.states[Zombie]++
		}
	}
}

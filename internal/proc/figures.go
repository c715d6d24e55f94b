package proc

// Figure is one number of a process that is read more seldom than its resident memory.
type Figure uint8

// What a process has at a time. A target has the sum of its members'.
const (
	FigureFile    Figure = iota // file-backed part of the resident memory, in bytes
	FigureShmem                 // shared-memory part, in bytes
	FigureSwap                  // swapped out, in bytes
	FigurePeak                  // the largest resident memory that it ever had, in bytes
	FigureVirtual               // size of the address space, in bytes
	FigureThreads
	FigureDescriptors // that are open
	gauges            = iota
)

// What the kernel counts of a process. A target has what its members did since the Tracker first saw
// them; it never goes down when one ends: what that did after its last reading is lost, what it did
// before is not.
const (
	FigureUserTime Figure = gauges + iota // in clock ticks, see Seconds
	FigureSystemTime
	FigureMinorFaults
	FigureMajorFaults
	FigureReadBytes // from storage
	FigureWriteBytes
	FigureVoluntarySwitches // of the main thread
	FigureInvoluntarySwitches
	figures = gauges + iota
)

// Seconds returns clock ticks as seconds.
func Seconds(ticks int64) float64 { return float64(ticks) / ticksPerSec }

// figureSet is a set of figures.
type figureSet uint32

const everyFigure figureSet = 1<<figures - 1

func (s figureSet) has(f Figure) bool { return s&(1<<f) != 0 }

// Figures are the numbers of a process or a target, as far as they are known.
type Figures struct {
	values [figures]int64
	known  figureSet
}

// Get returns a figure; ok is false when it could not be read, of a target when that is so of a member.
func (f *Figures) Get(which Figure) (value int64, ok bool) {
	return f.values[which], f.known.has(which)
}

func (f *Figures) set(which Figure, value int64) {
	f.values[which] = value
	f.known |= 1 << which
}

// lose says that figures are not known any more.
func (f *Figures) lose(which ...Figure) {
	for _, w := range which {
		f.known &^= 1 << w
	}
}

// put sets a figure, or loses it where ok is false.
func (f *Figures) put(which Figure, value int64, ok bool) {
	if ok {
		f.set(which, value)
		return
	}
	f.lose(which)
}

// own are the figures of one member. The values of counters are those of the last reading.
type own struct {
	Figures
	counted figureSet // counters that were read before

	state   State
	stated  bool
	fullest float64 // open descriptors per soft limit; valid while both are known
	soft    int64   // that limit; 0 while it is not known
}

// count adds what a counter of a member grew by since its last reading to its group's. What a member
// did before the Tracker saw it is not the group's, unless it is a newcomer.
func (t *Tracker) count(p *process, which Figure, now int64, ok bool, newcomer bool) {
	f := &p.slow.own
	if !ok {
		f.lose(which)
		return
	}
	last := f.values[which]
	if !f.counted.has(which) {
		if last = now; newcomer {
			last = 0
		}
	}
	f.set(which, now)
	f.counted |= 1 << which
	grown := max(now-last, 0)
	p.group.totals[which] += grown
	if p.group.discovered && !p.group.visible {
		t.overflow.totals[which] += grown
	}
}

// sumFigures are what one pass over the members adds up of their figures.
type sumFigures struct {
	gauges  [gauges]int64
	unknown figureSet // of at least one member

	states   [States]int
	noStates bool
	fullest  float64
	noFDs    bool // the fullest member is not known
}

func (s *sumFigures) add(p *process) {
	f := &p.slow.own
	for i, v := range f.values[:gauges] {
		s.gauges[i] += v
	}
	if more := p.resident - f.values[FigurePeak]; more > 0 { // it grew since status was read
		s.gauges[FigurePeak] += more
	}
	s.unknown |= everyFigure &^ f.known
	if f.stated {
		s.states[f.state]++
	}
	s.noStates = s.noStates || !f.stated
	s.fullest = max(s.fullest, f.fullest)
	s.noFDs = s.noFDs || f.soft == 0 || !f.known.has(FigureDescriptors)
}

func (s *sumFigures) merge(o *sumFigures) {
	for i, v := range o.gauges {
		s.gauges[i] += v
	}
	s.unknown |= o.unknown
	for i, n := range o.states {
		s.states[i] += n
	}
	s.noStates = s.noStates || o.noStates
	s.fullest = max(s.fullest, o.fullest)
	s.noFDs = s.noFDs || o.noFDs
}

// publish puts the figures of a group into its usage.
func (g *group) publish(u *Usage) {
	if g.members == 0 {
		return
	}
	s := &g.sum.sumFigures
	u.Figures.known = everyFigure &^ s.unknown
	for i := range u.Figures.values {
		switch f := Figure(i); {
		case !u.Figures.known.has(f):
		case i < gauges:
			u.Figures.values[i] = s.gauges[i]
		default:
			u.Figures.values[i] = g.totals[i]
		}
	}
	u.States, u.HasStates = s.states, !s.noStates
	u.Fullest, u.HasFullest = s.fullest, !s.noFDs
}

package heap

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// fellows counts the processes of a target that run the same program: where one of several is read,
// its heap is not that of the target.
type fellows struct {
	target *target
	procfs string

	mu       sync.Mutex
	programs map[machineKey]string // "" = not known
}

func newFellows(procfs string, of *target) *fellows {
	return &fellows{target: of, procfs: procfs, programs: make(map[machineKey]string)}
}

// count returns how many processes of the target run the program of the one that is read, itself
// included; 0 where that is not known.
func (f *fellows) count(read machineKey) (n int) {
	members := f.target.members()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.programs) > 2*len(members) {
		clear(f.programs)
	}
	var of string
	for _, m := range members {
		if keyOf(m) == read {
			of = f.program(m)
		}
	}
	if of == "" {
		return 0
	}
	for _, m := range members {
		if f.program(m) == of {
			n++
		}
	}
	return n
}

func (f *fellows) program(m proc.Member) string {
	key := keyOf(m)
	program, known := f.programs[key]
	if !known {
		link, err := os.Readlink(filepath.Join(f.procfs, strconv.Itoa(m.PID), "exe"))
		if err == nil {
			program = strings.TrimSuffix(link, " (deleted)")
		}
		f.programs[key] = program
	}
	return program
}

// cover says in a reading of one process how many run the same program.
func (f *fellows) cover(u *Usage, read machineKey, known bool) {
	if known {
		if u.Running = f.count(read); u.Running > 0 {
			u.Read = 1
		}
	}
}

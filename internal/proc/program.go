package proc

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// programEvery is how often it is looked again which file is behind the path of a program: an upgrade
// changes the links of update-alternatives.
const programEvery = time.Minute

// program is the file behind a path at a time.
type program struct {
	at   time.Time
	file string
}

// program returns the file behind the path of a program, as /proc/PID/exe would show it; the path itself
// where it is not a link or cannot be read.
func (e *environment) program(name string) string {
	p := e.programs[name]
	if p == nil {
		p = &program{}
		e.programs[name] = p
	}
	if !e.fresh(p.at, programEvery) {
		p.at, p.file = e.now, name
		if file, err := (hostfs.Roots{RootFS: e.rootfs}).Resolve(name); err == nil {
			p.file = file
		}
	}
	return p.file
}

package proc

import (
	"golang.org/x/sys/unix"
)

// mostHeld bounds the descriptors that are held open by default. The kernel keeps a page for
// each of them.
const mostHeld = 8192

// statmFile is a descriptor of PID/statm that is held open: a reading is one pread. It reads the
// process that it was opened for, through an exec too, and never another one of the same pid.
type statmFile int32

// noStatm says that statm is opened for each reading.
const noStatm statmFile = -1

// held counts the descriptors that are held open, at most so many.
type held struct {
	open, most int
	closing    []statmFile // released since the last publish: Quick may still read them
}

// defaultHeld leaves half of the descriptors that this process may open to everything else.
func defaultHeld() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur/2, mostHeld))
}

// read returns the text of PID/statm, from a descriptor that is held open while there is room.
func (h *held) read(r *reader, pid int32, f *statmFile) ([]byte, error) {
	if *f == noStatm {
		if h.open >= h.most {
			return r.file(pid, "statm", firstRead)
		}
		fd, err := r.open(pid, "statm")
		if err != nil {
			return nil, err
		}
		*f = statmFile(fd)
		h.open++
	}
	return r.readHeld(int(*f))
}

// release gives the descriptor back where one is held. It is closed once no one can read it.
func (h *held) release(f *statmFile) {
	if *f != noStatm {
		h.closing = append(h.closing, *f)
		*f = noStatm
	}
}

// close closes what was released. What is published does not name it any more.
func (h *held) close() {
	for _, f := range h.closing {
		_ = unix.Close(int(f))
	}
	h.open -= len(h.closing)
	h.closing = h.closing[:0]
}

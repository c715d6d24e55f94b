package proc

import (
	"bytes"
	"errors"
)

// errFormat says that a /proc file did not have the form that proc(5) gives it.
var errFormat = errors.New("unexpected format")

// statm is the part of /proc/PID/statm that is used, in pages.
type statm struct{ size, resident, shared int64 }

// parseStatm reads "size resident shared text lib data dt". Shared counts file and shmem pages.
func parseStatm(b []byte) (s statm, err error) {
	var ok [3]bool
	s.size, b, ok[0] = number(b)
	s.resident, b, ok[1] = number(b)
	s.shared, b, ok[2] = number(b)
	if !ok[0] || !ok[1] || !ok[2] || len(b) == 0 || s.resident > s.size || s.shared > s.size {
		return statm{}, errFormat
	}
	return s, nil
}

// number reads blanks and a decimal number that ends at a blank, a newline or the end.
func number(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	first := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		if n > (1<<62)/10 {
			return 0, b, false
		}
		n = n*10 + int64(b[i]-'0')
		i++
	}
	if i == first || i < len(b) && b[i] != ' ' && b[i] != '\t' && b[i] != '\n' {
		return 0, b, false
	}
	return n, b[i:], true
}

// status is the part of /proc/PID/status that is used. Of its figures it has the parts of the memory
// and the context switches.
type status struct {
	euid   uint32
	hasUID bool
	Figures
}

var statusFigures = []Figure{
	FigureFile, FigureShmem, FigureSwap, FigurePeak, FigureVoluntarySwitches, FigureInvoluntarySwitches,
}

// parseStatus reads the lines Uid, VmHWM, RssFile, RssShmem, VmSwap and those of the context switches.
// One that cannot be understood is not known, which costs none of the others. A zombie and a kernel
// thread have no memory lines; kernels before 4.5 have no parts.
func parseStatus(b []byte) (s status, err error) {
	found := false
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		i := bytes.IndexByte(line, ':')
		if i < 0 {
			continue
		}
		value := line[i+1:]
		switch string(line[:i]) {
		case "State":
			found = true
		case "Uid":
			_, rest, ok := number(value)
			euid, _, ok2 := number(rest)
			if s.hasUID = ok && ok2 && euid <= 1<<32-1; s.hasUID {
				s.euid = uint32(euid)
			}
		case "VmHWM":
			s.kilobytes(FigurePeak, value)
		case "RssFile":
			s.kilobytes(FigureFile, value)
		case "RssShmem":
			s.kilobytes(FigureShmem, value)
		case "VmSwap":
			s.kilobytes(FigureSwap, value)
		case "voluntary_ctxt_switches":
			s.number(FigureVoluntarySwitches, value)
		case "nonvoluntary_ctxt_switches":
			s.number(FigureInvoluntarySwitches, value)
		}
	}
	if !found {
		return status{}, errFormat
	}
	return s, nil
}

func (f *Figures) kilobytes(which Figure, value []byte) {
	n, ok := kilobytes(value)
	f.put(which, n, ok)
}

func (f *Figures) number(which Figure, value []byte) {
	n, rest, ok := number(value)
	f.put(which, n, ok && len(bytes.TrimSpace(rest)) == 0)
}

// parseIO reads the lines read_bytes and write_bytes of /proc/PID/io.
func parseIO(b []byte) (f Figures) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "read_bytes":
			f.number(FigureReadBytes, value)
		case "write_bytes":
			f.number(FigureWriteBytes, value)
		}
	}
	return f
}

// parseSoftFDs finds the soft limit of open descriptors in /proc/PID/limits: "Max open files", soft,
// hard, unit. It is 0 where it cannot be understood.
func parseSoftFDs(b []byte) int64 {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		value, found := bytes.CutPrefix(line, []byte("Max open files"))
		if !found {
			continue
		}
		n, _, ok := number(value)
		switch {
		case ok:
			return n
		case bytes.HasPrefix(bytes.TrimSpace(value), []byte("unlimited")):
			return 1 << 62
		}
		return 0
	}
	return 0
}

// kilobytes reads "  123 kB" as bytes.
func kilobytes(b []byte) (n int64, ok bool) {
	n, rest, ok := number(b)
	if !ok || n > (1<<62)/1024 || !bytes.Equal(bytes.TrimSpace(rest), []byte("kB")) {
		return 0, false
	}
	return n * 1024, true
}

// kernelThread is PF_KTHREAD of the kernel's include/linux/sched.h.
const kernelThread = 0x00200000

// stat is the part of /proc/PID/stat that is used: what identifies and names the process, and of its
// figures faults, times and threads. Its memory fields are inexact and are never read.
type stat struct {
	comm   []byte // aliases the input
	state  byte
	ppid   int32
	kernel bool
	start  uint64 // clock ticks after boot
	Figures
}

var statFigures = []Figure{FigureMinorFaults, FigureMajorFaults, FigureUserTime, FigureSystemTime, FigureThreads}

// parseStat reads "pid (comm) state ppid ... flags ... starttime ...". The name may hold blanks
// and parentheses, so it ends at the last one. Without what identifies the process there is nothing; a
// figure that cannot be understood is not known.
func parseStat(b []byte) (s stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || len(b) < end+4 || b[end+1] != ' ' || b[end+3] != ' ' {
		return stat{}, errFormat
	}
	s.comm, s.state = b[open+1:end], b[end+2]
	rest := b[end+3:]
	for field := 4; field <= 22; field++ {
		rest = bytes.TrimLeft(rest, " ")
		i := bytes.IndexByte(rest, ' ')
		if i < 0 {
			i = len(rest)
		}
		word := rest[:i]
		rest = rest[i:]
		if !s.take(field, word) {
			return stat{}, errFormat
		}
	}
	return s, nil
}

// take reads one field of stat. It returns false when it is one without which the process is not known.
func (s *stat) take(field int, word []byte) bool {
	switch field {
	case 10:
		s.number(FigureMinorFaults, word)
	case 12:
		s.number(FigureMajorFaults, word)
	case 14:
		s.number(FigureUserTime, word)
	case 15:
		s.number(FigureSystemTime, word)
	case 20:
		s.number(FigureThreads, word)
	case 4, 9, 22:
		n, tail, ok := number(word)
		if !ok || len(tail) > 0 {
			return false
		}
		switch {
		case field == 4 && n > 1<<31-1:
			return false
		case field == 4:
			s.ppid = int32(n)
		case field == 9:
			s.kernel = n&kernelThread != 0
		default:
			s.start = uint64(n)
		}
	}
	return true
}

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

// status is the part of /proc/PID/status that is used.
type status struct {
	state                    byte
	euid                     uint32
	file, shmem, swap, peak  int64 // bytes
	hasUID, hasParts, hasMem bool
}

// parseStatus reads the lines State, Uid, VmHWM, RssFile, RssShmem and VmSwap. A zombie and a kernel
// thread have no memory lines; kernels before 4.5 have no parts.
func parseStatus(b []byte) (s status, err error) {
	var file, shmem, swap bool
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
			value = bytes.TrimLeft(value, " \t")
			if len(value) == 0 {
				return status{}, errFormat
			}
			s.state = value[0]
		case "Uid":
			_, rest, ok := number(value)
			euid, _, ok2 := number(rest)
			if !ok || !ok2 || euid > 1<<32-1 {
				return status{}, errFormat
			}
			s.euid, s.hasUID = uint32(euid), true
		case "VmRSS":
			s.hasMem = true
		case "VmHWM":
			s.peak, _ = kilobytes(value)
		case "RssFile":
			s.file, file = kilobytes(value)
		case "RssShmem":
			s.shmem, shmem = kilobytes(value)
		case "VmSwap":
			s.swap, swap = kilobytes(value)
		}
	}
	if s.state == 0 {
		return status{}, errFormat
	}
	s.hasParts = file && shmem && swap
	return s, nil
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

// stat is the part of /proc/PID/stat that is used: what identifies and names the process. Its
// memory fields are inexact and are never read.
type stat struct {
	comm   []byte // aliases the input
	state  byte
	ppid   int32
	kernel bool
	start  uint64 // clock ticks after boot

	minor, major uint64 // page faults
	user, system uint64 // clock ticks
	threads      int64
}

// parseStat reads "pid (comm) state ppid ... flags ... starttime ...". The name may hold blanks
// and parentheses, so it ends at the last one.
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
		switch field {
		case 4, 9, 10, 12, 14, 15, 20, 22:
			n, tail, ok := number(word)
			if !ok || len(tail) > 0 {
				return stat{}, errFormat
			}
			switch field {
			case 4:
				if n > 1<<31-1 {
					return stat{}, errFormat
				}
				s.ppid = int32(n)
			case 9:
				s.kernel = n&kernelThread != 0
			case 10:
				s.minor = uint64(n)
			case 12:
				s.major = uint64(n)
			case 14:
				s.user = uint64(n)
			case 15:
				s.system = uint64(n)
			case 20:
				s.threads = n
			case 22:
				s.start = uint64(n)
			}
		}
	}
	return s, nil
}

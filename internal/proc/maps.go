package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

const (
	longestMapping = 64 << 10 // of a line; the kernel's own paths end at 4 KiB
	longestMaps    = 64 << 20 // of a table; what is beyond is not looked at
)

// deletedFile is what the kernel puts behind the path of a mapped file that is gone.
const deletedFile = " (deleted)"

// MappedFiles calls visit with the path of each mapping of a file that a process has, until visit
// returns false. A path is as the process' own mount namespace shows it from its top; deleted says
// that the file is not there any more. It takes the process' own user or CAP_SYS_PTRACE.
func MappedFiles(procfs string, pid int, visit func(path []byte, deleted bool) (more bool)) error {
	f, err := os.Open(filepath.Join(procfs, strconv.Itoa(pid), "maps"))
	if err != nil {
		return fmt.Errorf("process %d: its mappings: %w", pid, err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(io.LimitReader(f, longestMaps), longestMapping)
	for {
		line, err := lines.ReadSlice('\n')
		// "7f50-7f51 rw-s 00000000 08:01 1234    /tmp/hsperfdata_user/7": no slash before the path
		if at := bytes.IndexByte(line, '/'); at >= 0 && (err == nil || errors.Is(err, io.EOF)) {
			file, deleted := bytes.CutSuffix(bytes.TrimSuffix(line[at:], []byte("\n")), []byte(deletedFile))
			if !visit(file, deleted) {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("process %d: its mappings: %w", pid, err)
		}
	}
}

// Maps reports whether the process has a file of this name mapped, whatever its folder.
func (h *Handle) Maps(name string) (found bool, err error) {
	err = MappedFiles("/proc", h.member.PID, func(file []byte, _ bool) bool {
		found = path.Base(string(file)) == name
		return !found
	})
	return found, err
}

// Stopped reports whether the process is stopped, by a signal or by a debugger: what is sent to it
// waits until it goes on.
func (h *Handle) Stopped() (bool, error) {
	s, err := h.r.stat(int32(h.member.PID))
	if err != nil {
		return false, fmt.Errorf("process %d: %w", h.member.PID, err)
	}
	return s.state == 'T' || s.state == 't', nil
}

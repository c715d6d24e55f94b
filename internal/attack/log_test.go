//go:build attack

package attack

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAttackLogForLink: the name of a log is exchanged, while it is rotated, for links to files of root, for pipes and
// for the log of another user. None is cut, copied to where the attacker can read it, or waited for.
func TestAttackLogForLink(t *testing.T) {
	s := newStage(t)
	secret := "the secret of root\n" + strings.Repeat("s", 64<<10)
	s.write(s.dir+"/victim/root.log", secret, 0)
	s.write(s.dir+"/victim/other.log", secret, stageOther)
	s.must(s.dir+"/victim/root.log", s.dir+"/victim/other.log")
	var policies strings.Builder
	var attackers []*stageAttacker
	for i, more := range []string{"", "compress: true, ", "rotate: rename, signal: SIGURG, "} {
		dir := s.folder(fmt.Sprintf("%s/logs%d", s.dir, i), stageService)
		fmt.Fprintf(&policies, "      - {name: l%d, include: [app.log], max_bytes: 1KiB, keep_files: 3, %sdir: %s}\n", i, more, dir)
		attackers = append(attackers, s.attack(stageService, "logs", dir, s.dir+"/victim/root.log", s.dir+"/victim/other.log", "pipe"))
	}
	s.serve("  - name: app\n    processes: {match: {comm: attacker}}\n    logs:\n" + policies.String())
	rotated := s.clean("rotate_logs")
	for _, a := range attackers {
		a.leave()
	}
	s.cleaned(rotated)
	for i := range 3 {
		s.readable(fmt.Sprintf("%s/logs%d", s.dir, i), "the secret of root")
	}
	s.report("log-for-link")
}

// readable counts as harm each file below dir that has the text.
func (s *stage) readable(dir, text string) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), text) {
			s.harmed("%s has what is not the attacker's to read", path)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// stageAllocated is what the files in a folder take of the disk.
func stageAllocated(dir string) (bytes int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Lstat(dir+"/"+e.Name(), &st) == nil {
			bytes += st.Blocks * 512
		}
	}
	return bytes
}

// cpu is the processor time of the exporter so far.
func (s *stage) cpu() time.Duration {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.exporter.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(raw)[strings.LastIndexByte(string(raw), ')')+1:])
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestAttackLogHoles: logs that are huge and have little in them, by holes, by blocks that are only reserved, and by a
// writer that does not append. A rotation takes no more of the disk and of the processor than what is in them.
func TestAttackLogHoles(t *testing.T) {
	s := newStage(t)
	const reserved = 2 << 30
	dir := s.folder(s.dir+"/logs", stageService)
	s.serve("  - name: app\n    logs: [{name: l, include: ['*.log'], max_bytes: 1MiB, keep_files: 50, compress: true, dir: " + dir + "}]\n")
	var rotated int64
	for first := true; first || s.lasts(); first = false {
		if err := stageSparse(dir, reserved); err != nil {
			t.Fatal(err)
		}
		s.tried(2)
		disk, cpu := stageAllocated(dir), s.cpu()
		r := s.run("rotate_logs")
		rotated += r.Files
		if used := s.cpu() - cpu; used > time.Second {
			s.harmed("a run took %s of a processor for 4 MiB", used)
		}
		if now := stageAllocated(dir); now > disk+8<<20 {
			s.harmed("the folder takes %d bytes, and %d before the run", now, disk)
		}
		s.stageRotated(dir)
	}
	s.cleaned(rotated)
	s.report("log-holes")
}

// stageRotated removes the logs and what they became.
func (s *stage) stageRotated(dir string) {
	names, err := filepath.Glob(dir + "/*")
	for _, name := range names {
		if err == nil {
			err = os.Remove(name)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// stageSparse makes one log of 1 TiB with 2 MiB at its end, and one whose blocks are only reserved.
func stageSparse(dir string, reserved int64) error {
	block := make([]byte, 2<<20)
	for i := range block {
		block[i] = byte(rand.Uint32())
	}
	for name, at := range map[string]int64{"sparse.log": 1 << 40, "reserved.log": 0} {
		f, err := os.OpenFile(dir+"/"+name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if at == 0 {
			err = unix.Fallocate(int(f.Fd()), 0, 0, reserved)
		}
		if err == nil {
			_, err = f.WriteAt(block, at)
		}
		if err == nil {
			err = f.Chown(stageService, stageService)
		}
		if err != nil {
			return err
		}
	}
	idle := time.Now().Add(-time.Minute)
	for _, name := range []string{"sparse.log", "reserved.log"} {
		if err := os.Chtimes(dir+"/"+name, idle, idle); err != nil {
			return err
		}
	}
	return nil
}

// TestAttackLogWriters: app >>log 2>log, by writers in another PID namespace, where the exporter cannot see them. No
// line of a log that is only appended to is lost, and what rotations make does not grow with each.
func TestAttackLogWriters(t *testing.T) {
	s := newStage(t)
	dir := s.folder(s.dir+"/logs", stageService)
	writers := []*stageAttacker{
		s.attack(stageService, "write", dir+"/app.log", "append"),
		s.attack(stageService, "write", dir+"/app.log", ""),
		s.attack(stageService, "write", dir+"/plain.log", "append"),
	}
	s.prefix = []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}
	s.serve("  - name: app\n    logs: [{name: l, include: ['*.log'], max_bytes: 64KiB, keep_files: 1000, dir: " + dir + "}]\n")
	s.clean("rotate_logs")
	var lines int64
	for _, w := range writers {
		lines = w.leave() // of the last one
	}
	numbers := stageLines(t, dir, "plain.log")
	for number, n := range numbers {
		if n != 1 {
			s.harmed("line %d is there %d times", number, n)
		}
	}
	if int64(len(numbers)) != lines {
		s.harmed("%d of %d lines are there", len(numbers), lines)
	}
	sizes := map[string]int64{}
	for _, name := range []string{"app.log", "plain.log"} {
		copies, _ := filepath.Glob(dir + "/" + name + ".*")
		for _, path := range copies {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			sizes[name] = max(sizes[name], st.Size)
		}
		t.Logf("%d copies of %s, the largest of %d bytes", len(copies), name, sizes[name])
	}
	if sizes["app.log"] > 4*sizes["plain.log"] {
		s.harmed("copies grow to %d bytes, of a log of lines to %d", sizes["app.log"], sizes["plain.log"])
	}
	s.cleaned(sizes["plain.log"])
	s.report("log-writers")
}

// stageLines counts how often each numbered line up to the highest one is in a log and its copies.
func stageLines(t *testing.T, dir, name string) map[int64]int {
	t.Helper()
	names, _ := filepath.Glob(dir + "/" + name + "*")
	var all []byte
	last := ""
	for _, path := range names { // the log itself sorts first, and is the newest
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if path == dir+"/"+name {
			last = string(raw)
			continue
		}
		all = append(all, raw...)
	}
	all = append(all, last...)
	out := map[int64]int{}
	highest := int64(-1)
	for line := range strings.Lines(string(all)) {
		var n int64
		if _, err := fmt.Sscanf(line, "line %d of the log", &n); err == nil {
			out[n]++
			highest = max(highest, n)
		}
	}
	for n := range highest {
		out[n] += 0
	}
	return out
}

//go:build attack

package attack

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// stageRoles are what attackers can do, by name.
var stageRoles = map[string]stageRole{
	"exchange":  stageExchange,
	"move out":  stageMoveOut,
	"take in":   stageTakeIn,
	"open":      stageOpen,
	"last look": stageLastLook,
	"hold":      stageHold,
	"odd":       stageOdd,
	"holding":   stageHolding,
	"logs":      stageLogs,
	"mount":     stageMount,
	"fill":      stageKeepFull,
	"write":     stageWrite,
	"engine":    loopEngine,
	"service":   loopService,
	"impostor":  loopImpostor,
	"approve":   loopApprove,
	"forge":     loopForge,
	"replay":    loopReplay,
}

func stageSwap(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// pause waits a moment, and less often for long.
func stagePause(d time.Duration) {
	<-time.After(rand.N(d) + 1)
}

// stageExchange exchanges two names as fast as it can, and keeps files in what they mean and alongside them: while
// those are removed, what the walk has listed is not what it opens. The pair is as it was when it ends.
func stageExchange(args []string, next func() bool) (tries int64, err error) {
	a, b := args[0], args[1]
	full := []string{a, b, filepath.Dir(a)}
	for ; next() || tries%2 == 1; tries++ {
		if tries%500 == 0 {
			for _, dir := range full {
				stageFill(dir, 100, -1) // it may lead to where this user may not write
			}
		}
		if err := stageSwap(a, b); err != nil {
			return tries, err
		}
		if tries%10 == 0 {
			stagePause(200 * time.Microsecond)
		}
	}
	return tries, nil
}

// stageMoveOut brings a full folder below the root, waits for the first file to go, and takes it away
// again. Whatever goes from it afterwards is harm, but for the few files whose place was just looked at.
func stageMoveOut(args []string, next func() bool) (tries int64, err error) {
	root, outside := args[0], args[1]
	const n, atOnce = 1000, 64
	for ; next(); tries++ {
		name := "/moved" + strconv.FormatInt(tries, 10)
		deep := outside + name + "/a/b"
		if err := os.MkdirAll(deep, 0o755); err != nil {
			return tries, err
		}
		if err := stageFill(deep, n, -1); err != nil {
			return tries, err
		}
		before, _ := os.Stat(deep)
		if err := os.Rename(outside+name, root+name); err != nil {
			return tries, err
		}
		for next() {
			now, err := os.Stat(root + name + "/a/b")
			if err != nil || !now.ModTime().Equal(before.ModTime()) {
				break
			}
		}
		part := []string{"", "/a", "/a/b"}[tries%3] // the folder itself, or one above it
		if err := os.Rename(root+name+part, outside+name); err != nil {
			return tries, err
		}
		at := outside + name + "/a/b"[len(part):]
		first := stageCount(at)
		<-time.After(100 * time.Millisecond)
		if last := stageCount(at); first-last > atOnce {
			fmt.Printf("\nharm: %d files went after their folder was moved out of %s\n", first-last, root)
		}
		os.RemoveAll(outside + name)
		os.RemoveAll(root + name)
	}
	return tries, nil
}

// stageTakeIn renames files of others into the root and back.
func stageTakeIn(args []string, next func() bool) (tries int64, err error) {
	from, root := args[0], args[1]
	for ; next(); tries++ {
		entries, err := os.ReadDir(from)
		if err != nil {
			return tries, err
		}
		for _, e := range entries {
			os.Rename(from+"/"+e.Name(), root+"/"+e.Name())
		}
		stagePause(20 * time.Millisecond)
		for _, e := range entries {
			os.Rename(root+"/"+e.Name(), from+"/"+e.Name())
		}
	}
	return tries, nil
}

// stageOpen opens files at any moment. One that it has open and that had its name then keeps it.
func stageOpen(args []string, next func() bool) (int64, error) {
	const n = 200
	var tries atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for next() {
				path := fmt.Sprintf("%s/f%d.tmp", args[0], rand.IntN(n))
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					stageAged(path, -1)
					continue
				}
				tries.Add(1)
				var st unix.Stat_t
				if unix.Fstat(fd, &st); st.Nlink == 1 {
					stagePause(2 * time.Millisecond)
					if unix.Fstat(fd, &st); st.Nlink == 0 {
						fmt.Printf("\nharm: %s went while it was open\n", path)
					}
				}
				unix.Close(fd)
			}
		})
	}
	wg.Wait()
	return tries.Load(), nil
}

// stageLastLook exchanges due files for precious ones at any moment. Whether one is lost is for the manifest.
func stageLastLook(args []string, next func() bool) (tries int64, err error) {
	dir := args[0]
	n, _ := strconv.Atoi(args[1])
	for ; next(); tries++ {
		i := rand.IntN(n)
		due, precious := fmt.Sprintf("%s/f%d.tmp", dir, i), fmt.Sprintf("%s/p%d.keep", dir, i)
		if errors.Is(stageSwap(due, precious), unix.ENOENT) { // one has gone, or is being looked at
			if stageMake(due, -1, unix.O_EXCL) != nil { // a precious one may be back by now: it is not made old
				stageMake(precious, -1, unix.O_EXCL)
			}
		}
		if tries%20 == 0 {
			stagePause(200 * time.Microsecond)
		}
	}
	return tries, nil
}

// stageHold holds each file by a descriptor that only means it, until long after it is gone.
func stageHold(args []string, next func() bool) (tries int64, err error) {
	const n, longest = 8, 800
	var held []int
	for next() {
		for i := range n {
			path := fmt.Sprintf("%s/held%d.tmp", args[0], i)
			if _, err := os.Lstat(path); err == nil {
				continue
			}
			part := path + ".part"
			if err := os.WriteFile(part, make([]byte, 256<<10), 0o600); err != nil {
				return tries, err
			}
			if err := stageAged(part, -1); err != nil {
				return tries, err
			}
			fd, err := unix.Open(part, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return tries, err
			}
			if err := os.Rename(part, path); err != nil {
				return tries, err
			}
			if held = append(held, fd); len(held) > longest {
				unix.Close(held[0])
				held = held[1:]
			}
			tries++
		}
		stagePause(5 * time.Millisecond)
	}
	return tries, nil
}

// stageOdd makes entries of every kind with names of any bytes. Those that are not an aged regular file, or
// whose names are not those of the policy, must stay.
func stageOdd(args []string, next func() bool) (tries int64, err error) {
	dir := args[0]
	name := func() string {
		b := make([]byte, 1+rand.IntN(200))
		for i := range b {
			if b[i] = byte(1 + rand.IntN(255)); b[i] == '/' {
				b[i] = '\n'
			}
		}
		return dir + "/" + string(b)
	}
	old := time.Now().Add(-time.Hour)
	for ; next(); tries++ {
		base := name()
		stay := []string{base + ".dir.tmp", base + ".link.tmp", base + ".pipe.tmp", base + ".socket.tmp", base + ".young.tmp", base + ".other", base + ".future.tmp"}
		os.Mkdir(stay[0], 0o755)
		os.Symlink("/etc/passwd", stay[1])
		unix.Mkfifo(stay[2], 0o600)
		unix.Mknod(stay[3], unix.S_IFSOCK|0o600, 0)
		os.WriteFile(stay[4], nil, 0o600)
		stageAged(stay[5], -1)
		os.WriteFile(stay[6], nil, 0o600)
		os.Chtimes(stay[6], time.Now(), time.Now().Add(1000*time.Hour))
		for _, path := range stay[1:3] { // as old as can be set
			unix.Lutimes(path, []unix.Timeval{unix.NsecToTimeval(old.UnixNano()), unix.NsecToTimeval(old.UnixNano())})
		}
		due := []string{base + ".tmp", dir + "/-rf " + strconv.FormatInt(tries, 10) + ".tmp", dir + "/x\nforged: a line " + strconv.FormatInt(tries, 10) + ".tmp"}
		for _, path := range due {
			stageAged(path, -1)
		}
		stagePause(30 * time.Millisecond)
		for _, path := range stay {
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				fmt.Printf("\nharm: %q is gone\n", path)
			}
			os.Remove(path)
		}
	}
	return tries, nil
}

// stageHolding gives what it makes the name of the exporter's own folder. What lies in it is cleaned like
// anything else: it may hide for some time, which is that of many runs.
func stageHolding(args []string, next func() bool) (tries int64, err error) {
	root, victim := args[0], args[1]
	const name, marker = "/.spillway-quarantine", "/.made-by-spillway_exporter"
	most, err := time.ParseDuration(args[2])
	if err != nil {
		return 0, err
	}
	for ; next(); tries++ {
		parent := root + []string{"", "/sub", "/sub/a/b"}[tries%3]
		at := parent + name
		os.MkdirAll(parent, 0o755)
		if tries%4 == 3 {
			os.Symlink(victim, at)
			stagePause(20 * time.Millisecond)
			os.Remove(at)
			continue
		}
		if err := os.Mkdir(at, 0o700); err != nil {
			return tries, err
		}
		if tries%2 == 0 {
			os.WriteFile(at+marker, nil, 0o600)
		}
		if err := stageFill(at, 20, -1); err != nil {
			return tries, err
		}
		begin := time.Now()
		for {
			if _, err := os.Lstat(at + "/f19.tmp"); err != nil {
				break
			}
			if !next() && time.Since(begin) < most {
				break // the time is over: it was not given enough
			}
			if time.Since(begin) > most {
				fmt.Printf("\nharm: files hide in %s\n", at)
				break
			}
			stagePause(2 * time.Millisecond)
		}
		os.RemoveAll(at)
	}
	return tries, nil
}

// stageLogs keeps a log growing and exchanges its name for those of what must not be cut, copied or waited for.
func stageLogs(args []string, next func() bool) (tries int64, err error) {
	dir := args[0]
	log, other := dir+"/app.log", dir+"/other"
	line := make([]byte, 32<<10)
	for i := range line {
		line[i] = 'x'
	}
	fd, err := unix.Open(log, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { unix.Close(fd) }()
	for ; next(); tries++ {
		if tries%3 == 0 { // it may have been rotated by its name
			unix.Close(fd)
			for {
				if info, err := os.Lstat(log); err == nil && !info.Mode().IsRegular() {
					os.Remove(log)
				}
				fd, err = unix.Open(log, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
				// What was rotated and is not the log that was looked at is put back at any time.
				if !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ELOOP) {
					break
				}
			}
			if err != nil {
				return tries, err
			}
			unix.Write(fd, line)
		}
		os.Remove(other)
		switch target := args[1+rand.IntN(len(args)-1)]; target {
		case "pipe":
			err = unix.Mkfifo(other, 0o600)
		default:
			err = os.Symlink(target, other)
		}
		if err != nil {
			return tries, err
		}
		stagePause(time.Duration(1+tries%20) * 100 * time.Microsecond)
		for range 100 { // between the look at the log and its opening lie microseconds
			if err := stageSwap(log, other); err != nil {
				break
			}
			stageSwap(log, other)
			tries++
		}
	}
	return tries, nil
}

// stageMount mounts what must stay over a folder and over a file of the root, as an engine does.
func stageMount(args []string, next func() bool) (tries int64, err error) {
	root, victim := args[0], args[1]
	for ; next(); tries++ {
		stageFill(root+"/sub", 100, stageService)
		stageAged(root+"/file.tmp", stageService)
		stagePause(2 * time.Millisecond)
		if err := unix.Mount(victim, root+"/sub", "", unix.MS_BIND, ""); err != nil {
			return tries, err
		}
		covered := unix.Mount(victim+"/f0.tmp", root+"/file.tmp", "", unix.MS_BIND, "") == nil
		stagePause(2 * time.Millisecond)
		if covered {
			unix.Unmount(root+"/file.tmp", unix.MNT_DETACH)
		}
		if err := unix.Unmount(root+"/sub", unix.MNT_DETACH); err != nil {
			return tries, err
		}
	}
	return tries, nil
}

// stageKeepFull keeps so many aged files in each folder.
func stageKeepFull(args []string, next func() bool) (tries int64, err error) {
	n, _ := strconv.Atoi(args[0])
	for ; next(); tries++ {
		for _, dir := range args[1:] {
			if err := stageFill(dir, n, -1); err != nil {
				return tries, err
			}
		}
		stagePause(5 * time.Millisecond)
	}
	return tries, nil
}

// stageWrite writes numbered lines into a log, at its end or wherever its own position is.
func stageWrite(args []string, next func() bool) (tries int64, err error) {
	flags := os.O_WRONLY | os.O_CREATE
	if args[1] == "append" {
		flags |= os.O_APPEND
	}
	f, err := os.OpenFile(args[0], flags, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for ; next(); tries++ {
		if _, err := fmt.Fprintf(f, "line %09d of the log, %0100d\n", tries, 0); err != nil {
			return tries, err
		}
		if tries%50 == 0 {
			stagePause(5 * time.Millisecond)
		}
	}
	return tries, nil
}

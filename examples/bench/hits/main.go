// Command hits loads a cache and watches it, in two processes, for hits.sh.
//
//	hits watch DIR                         until standard input ends; prints what was inferred
//	hits load DIR FILES READERS RATE SECONDS   opens files; prints what was done
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "watch":
		err = watch(os.Args[2])
	case len(os.Args) == 7 && os.Args[1] == "load":
		var n [4]int
		for i := range n {
			if n[i], err = strconv.Atoi(os.Args[3+i]); err != nil {
				break
			}
		}
		if err == nil {
			load(os.Args[2], n[0], n[1], n[2], n[3])
		}
	default:
		err = fmt.Errorf("usage: hits watch DIR, or hits load DIR FILES READERS RATE SECONDS")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func watch(dir string) error {
	w, err := hitrate.New(hitrate.Options{Select: func([]byte) bool { return true }})
	if err != nil {
		return err
	}
	defer w.Close()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := w.Follow(fd, nil); err != nil {
		return err
	}
	fmt.Println("ready")
	began := time.Now()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	took := time.Since(began)
	w.Pause()()
	c, err := w.Counts()
	if err != nil {
		return err
	}
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return err
	}
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	fmt.Println(c.Hits, c.Misses, c.Overflows, 100*cpu.Seconds()/took.Seconds())
	return nil
}

// load opens files round robin, each tenth time a new one is made, at rate opens a second in all;
// 0 is as fast as it goes.
func load(dir string, files, readers, rate, seconds int) {
	var hits, misses atomic.Int64
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			begin := time.Now()
			for i := 0; time.Now().Before(end); i++ {
				if rate > 0 {
					if ahead := time.Until(begin.Add(time.Duration(i) * time.Second * time.Duration(readers) / time.Duration(rate))); ahead > time.Millisecond {
						time.Sleep(ahead)
					}
				}
				if i%10 == 9 {
					if f, err := os.Create(filepath.Join(dir, fmt.Sprintf("new-%d-%d", r, i))); err == nil {
						f.Close()
						misses.Add(1)
					}
					continue
				}
				if fd, err := unix.Open(filepath.Join(dir, strconv.Itoa((r*31+i)%files)), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
					unix.Close(fd)
					hits.Add(1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(hits.Load(), misses.Load())
}

package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const growEvery = 5 * time.Millisecond

// leak is the process that grows. Its ballast is what a cache or a queue would be in a real service.
type leak struct {
	limitBytes, rateBytes int64

	mu      sync.Mutex
	ballast [][]byte
	held    int64
	trimmed chan struct{}
	once    sync.Once
}

// leakMain is the process: "fill" on its standard input makes it fill up to its start, "go" makes it grow.
// It says when it has passed 85 % of its limit and when it was asked to trim.
func leakMain(args []string) int {
	flags := flag.NewFlagSet("leak", flag.ExitOnError)
	limit := flags.Int64("limit", 400, "MiB")
	rate := flags.Int64("rate", 5, "MiB per second")
	_ = flags.Parse(args)
	l := &leak{limitBytes: *limit * mib, rateBytes: *rate * mib, trimmed: make(chan struct{})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "leak:", err)
		return 1
	}
	http.HandleFunc("POST /trim", l.trim)
	go func() { _ = http.Serve(listener, nil) }()
	fmt.Println("address", listener.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "fill":
			err = l.grow(int64(startFrom*float64(l.limitBytes)) - residentBytes())
			fmt.Println("holding", residentBytes())
		case "go":
			go l.leak()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "leak:", err)
			return 1
		}
	}
	return 0
}

// leak grows until it is asked to trim.
func (l *leak) leak() {
	start, base, crossed := time.Now(), l.held, false
	tick := time.NewTicker(growEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.trimmed:
			return
		case <-tick.C:
		}
		want := base + int64(time.Since(start).Seconds()*float64(l.rateBytes))
		// In small pieces, to see the crossing where it happens.
		for l.held < want && !l.isTrimmed() {
			if err := l.grow(min(want-l.held, mib)); err != nil {
				fmt.Fprintln(os.Stderr, "leak:", err)
				return
			}
			if !crossed && float64(residentBytes()) >= critical*float64(l.limitBytes) {
				crossed = true
				fmt.Println("crossed", time.Now().UnixNano())
			}
		}
	}
}

func (l *leak) isTrimmed() bool {
	select {
	case <-l.trimmed:
		return true
	default:
		return false
	}
}

// grow maps memory and touches each page of it.
func (l *leak) grow(sizeBytes int64) error {
	if sizeBytes <= 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, int(sizeBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ballast = append(l.ballast, b)
	l.held += sizeBytes
	return nil
}

// trim gives the ballast back.
func (l *leak) trim(w http.ResponseWriter, _ *http.Request) {
	at, before := time.Now().UnixNano(), residentBytes()
	l.once.Do(func() { close(l.trimmed) })
	l.mu.Lock()
	for _, b := range l.ballast {
		_ = unix.Munmap(b)
	}
	l.ballast = nil
	l.mu.Unlock()
	fmt.Println("trimmed", at, before)
	w.WriteHeader(http.StatusNoContent)
}

func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

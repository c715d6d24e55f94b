// Command pod is what the containers of the kubelet's tests run, in images that hold nothing else.
//
//	pod pause       holds the namespaces of a pod and reaps what is left to it, as registry.k8s.io/pause
//	pod leak DIR... is a service that holds 48 MiB, leaves expired files in each folder and keeps one of
//	                them open; at SIGUSR1 it takes memory until the kernel ends it
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	heldBytes = 48 << 20
	bite      = 4 << 20
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "pause":
		pause()
		return nil
	case len(args) > 1 && args[0] == "leak":
		return leak(args[1:])
	}
	return errors.New("write pause, or leak DIR")
}

// pause waits for the end of the pod. With shareProcessNamespace it is the first process of the
// namespace, to which orphans fall.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

// leak fills the folders and holds memory.
func leak(dirs []string) error {
	for _, dir := range dirs {
		for _, name := range []string{"a.wav", "b.wav", "c.wav", "open.wav"} {
			if err := expired(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		open, err := os.Open(filepath.Join(dir, "open.wav"))
		if err != nil {
			return err
		}
		defer open.Close()
	}
	held := [][]byte{touched(heldBytes)}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	if s := <-signals; s == syscall.SIGTERM {
		return nil
	}
	for {
		held = append(held, touched(bite))
	}
}

// touched returns memory that is in use, not only promised.
func touched(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = 1
	}
	return b
}

// expired makes a file that was last written two days ago.
func expired(path string) error {
	if err := os.WriteFile(path, []byte("RIFF"), 0o640); err != nil {
		return err
	}
	when := time.Now().Add(-48 * time.Hour)
	return os.Chtimes(path, when, when)
}

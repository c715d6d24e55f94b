// Command hold is what runs in the containers of the virtual machine: it holds memory and page cache. On
// SIGUSR1 a child of it takes memory until the kernel kills it, on SIGUSR2 it does so itself.
//
//	hold MIB [FILE CACHE_MIB]
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
)

const mib = 1 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hold:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 && len(args) != 3 {
		return fmt.Errorf("write hold MIB [FILE CACHE_MIB]")
	}
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	grow, fall, end := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(grow, syscall.SIGUSR1)
	signal.Notify(fall, syscall.SIGUSR2)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	held := bytes.Repeat([]byte("x"), size*mib)
	if len(args) == 3 {
		if err := fill(args[1], args[2]); err != nil {
			return err
		}
	}
	for {
		select {
		case <-grow:
			fmt.Println("child:", exec.Command("/proc/self/exe", "512").Run())
		case <-fall:
			held = bytes.Repeat([]byte("x"), 512*mib)
		case <-end:
			runtime.KeepAlive(held)
			return nil
		}
	}
}

// fill writes a file, whose pages are then in the page cache and can be dropped from there.
func fill(file, size string) error {
	n, err := strconv.ParseInt(size, 10, 32)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, zeros{}, n*mib); err != nil {
		return err
	}
	return f.Sync()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Command hold is what runs in the containers of the virtual machine: it holds so many MiB. On SIGUSR1
// a child of it takes memory until the kernel kills it, on SIGUSR2 it does so itself.
//
//	hold MIB
package main

import (
	"bytes"
	"errors"
	"fmt"
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
	if len(args) != 1 {
		return errors.New("write hold MIB")
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

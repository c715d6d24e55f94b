// Command spillway_exporter watches the services of a host, publishes how close each is to its
// limit, and relieves the pressure when an alert fires. This file turns signals into a context and a
// channel and returns the exit code; the command line is in internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spillway-exporter/spillway_exporter/internal/cli"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	return cli.Main(ctx, args, cli.Options{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Reload: reload})
}

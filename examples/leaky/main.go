// Command leaky runs the leaking service of the demo on its own, to try a configuration against:
//
//	go run ./examples/leaky --dir /tmp/leaky --for 5m
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spillway-exporter/spillway_exporter/examples/leaky/leak"
)

func main() {
	dir := flag.String("dir", "", "folder to fill (required)")
	address := flag.String("address", "127.0.0.1:0", "address of /health, /stats and /debug/pprof")
	limit := flag.Duration("for", 5*time.Minute, "how long to run")
	session := flag.Int("session-bytes", 0, "memory that each step, five a second, leaks for good")
	flag.Parse()
	if err := run(leak.Options{Dir: *dir, Address: *address, SessionBytes: *session}, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "leaky:", err)
		os.Exit(1)
	}
}

func run(o leak.Options, limit time.Duration) error {
	if o.Dir == "" {
		return fmt.Errorf("--dir is missing: name a folder to fill")
	}
	s, err := leak.Start(o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(s.Paths()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return s.Run(ctx)
}

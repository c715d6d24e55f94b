// Command host builds the disks, boots the virtual machine, collects what the tests in it report and
// prints the table. The exit status is 1 when a test failed or the machine did not come to its end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.out, "out", "dist/vm", "folder for the output of each program, the console and the table")
	flag.StringVar(&o.deb, "deb", "", "the package to test (required)")
	flag.StringVar(&o.container, "image", "", "the container image to test (required)")
	flag.StringVar(&o.only, "run", "", "only tests that match, after those of the package")
	flag.StringVar(&o.docs, "update", "", "file in which the table between the marks is replaced, after a run of all tests")
	flag.BoolVar(&o.shell, "shell", false, "no tests: the machine's console on this terminal, root without a password; poweroff ends it")
	flag.BoolVar(&o.prepare, "prepare", false, "only build the image and the kubelet, where the cache does not have them")
	flag.IntVar(&o.rounds, "rounds", 1, "of the benchmark of the reaction; above 1 a program may take as long as the whole run")
	flag.DurationVar(&o.timeout, "timeout", 53*time.Minute, "the whole run, after the image is built")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	out, deb, container, only, docs string
	shell, prepare                  bool
	rounds                          int
	timeout                         time.Duration
}

func run(ctx context.Context, o options) error {
	start := time.Now()
	image, err := buildImage(ctx)
	if err != nil {
		return fmt.Errorf("build the image: %w", err)
	}
	if o.prepare {
		_, err := buildKubelet(ctx, filepath.Dir(image))
		return err
	}
	imageTime := time.Since(start)
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	payload, programs, err := buildPayload(ctx, o, filepath.Dir(image))
	if err != nil {
		return fmt.Errorf("build the second disk: %w", err)
	}
	m := machine{image: image, payload: payload, out: o.out}
	if o.shell {
		return m.shell(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	payloadTime := time.Since(start) - imageTime
	results, err := m.test(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not at its end after %v: see %s", o.timeout, filepath.Join(o.out, "console.txt"))
	}
	table := results.table()
	fmt.Print(table)
	fmt.Printf("image %v, second disk %v, boots and tests %v\n", imageTime.Round(time.Second), payloadTime.Round(time.Second),
		(time.Since(start) - imageTime - payloadTime).Round(time.Second))
	if err := os.WriteFile(filepath.Join(o.out, "table.md"), []byte(table), 0o644); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if err := results.failure(programs); err != nil {
		return err
	}
	if o.docs != "" && o.only == "" {
		return updateTable(o.docs, table)
	}
	return nil
}

// Command reaction measures how soon a growing service is relieved, and whether it survives. A
// process in a cgroup with a limit grows at a given rate; what guards it is the exporter, whose step
// asks the process over HTTP to drop its ballast, or earlyoom, or systemd-oomd, which kill. The time
// counts from the moment at which the process itself passes 85 % of the limit.
//
//	reaction -place v1 -exporter ./spillway_exporter -dir DIR      cgroup version 1, as root
//	reaction -place systemd -guards spillway,earlyoom,systemd-oomd a transient unit, as root
//
// The working folder and, with -place v1, the cgroup stay behind; the script reaction.sh removes them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	mib       = 1 << 20
	critical  = 0.85 // of the limit: the level at which the shipped rules relieve
	startFrom = 0.5  // of the limit is held before the growth begins
)

type options struct {
	dir, place, cgroup string
	exporter           []string
	guards             []string
	rates              []int
	limitMiB, rounds   int
	want               int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "leak" {
		os.Exit(leakMain(os.Args[2:]))
	}
	o, err := parse()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = measure(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reaction:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	var exporter, guards, rates string
	flag.StringVar(&o.dir, "dir", "", "working folder, which exists (required)")
	flag.StringVar(&o.place, "place", "v1", "where the process runs: v1 (-cgroup) or systemd (a transient unit)")
	flag.StringVar(&o.cgroup, "cgroup", "", "with -place v1: its cgroup, which exists")
	flag.StringVar(&exporter, "exporter", "./spillway_exporter", "the exporter, with words before it where it is started by another program")
	flag.StringVar(&guards, "guards", "spillway", "comma-separated: "+strings.Join(guardNames(), ", "))
	flag.StringVar(&rates, "rates", "5,20,100,400", "MiB per second, comma-separated")
	flag.IntVar(&o.limitMiB, "limit", 400, "of the cgroup, in MiB")
	flag.IntVar(&o.rounds, "rounds", 20, "runs of each guard at each rate")
	flag.IntVar(&o.want, "want", 0, "fail unless spillway saved every process that grew at this rate or slower; 0: never")
	flag.Parse()
	o.exporter, o.guards = strings.Fields(exporter), strings.Split(guards, ",")
	for text := range strings.SplitSeq(rates, ",") {
		rate, err := strconv.Atoi(text)
		if err != nil || rate <= 0 {
			return o, fmt.Errorf("-rates: %q is not a rate: write whole MiB per second", text)
		}
		o.rates = append(o.rates, rate)
	}
	for _, name := range o.guards {
		if guardsByName[name] == nil {
			return o, fmt.Errorf("-guards: %q is not one of %s", name, strings.Join(guardNames(), ", "))
		}
	}
	if o.dir == "" {
		return o, errors.New("-dir: write a folder that exists")
	}
	dir, err := filepath.Abs(o.dir)
	o.dir = dir
	return o, err
}

// measure does all runs and prints a line for each guard and rate.
func measure(ctx context.Context, o options) error {
	fmt.Printf("a limit of %d MiB, %d runs each; ms from %.0f %% of the limit to the first effect (0: before it)\n", o.limitMiB, o.rounds, critical*100)
	fmt.Printf("%-18s %6s %8s %8s %8s %8s %10s %10s %8s %10s\n",
		"guard", "MiB/s", "saved", "median", "p99", "most", "by guard", "by kernel", "stalled", "lost, MiB")
	seen := 0
	var lost []error
	for _, name := range o.guards {
		for _, rate := range o.rates {
			var all []result
			for range o.rounds {
				seen++
				r, err := runOnce(ctx, o, name, rate, seen)
				if err != nil {
					return fmt.Errorf("%s at %d MiB/s: %w", name, rate, err)
				}
				all = append(all, r)
			}
			fmt.Println(summary(name, rate, all))
			if name == "spillway" && rate <= o.want && slices.ContainsFunc(all, func(r result) bool { return !r.saved }) {
				lost = append(lost, fmt.Errorf("spillway at %d MiB/s: not every process was saved", rate))
			}
		}
	}
	return errors.Join(lost...)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

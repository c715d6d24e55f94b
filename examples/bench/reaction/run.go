package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	settle  = 2 * time.Second // for the guard to see the process before it grows, at least
	phase   = 5 * time.Second // and a random part of this, since guards look at intervals
	startIn = 20 * time.Second

	unitName = "reaction-leak.service"
)

// result is the outcome of one run.
type result struct {
	saved    bool
	stalled  bool          // it was slowed down for a minute, neither relieved nor killed
	byKernel bool          // else by the guard, where it was not saved
	reaction time.Duration // from the crossing to the first effect, which may be before it; valid if saved or killed by the guard
	lostMiB  int
}

// process is the growing process as seen from outside.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan []string // of its output, by words; closed at its end
}

func runOnce(ctx context.Context, o options, guard string, rate, number int) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := startLeak(ctx, o, guard, rate)
	if err != nil {
		return result{}, err
	}
	defer p.end()
	address, err := p.await(ctx, "address")
	if err != nil {
		return result{}, err
	}
	if _, err := fmt.Fprintln(p.in, "fill"); err != nil {
		return result{}, err
	}
	if _, err := p.await(ctx, "holding"); err != nil {
		return result{}, err
	}
	stop, err := guardsByName[guard].start(ctx, o, &round{number: number, trim: "http://" + address[1] + "/trim", dir: filepath.Join(o.dir, strconv.Itoa(number))})
	if err != nil {
		return result{}, err
	}
	defer stop()
	if err := pause(ctx, settle+rand.N(phase)); err != nil {
		return result{}, err
	}
	before := kernelKills()
	if _, err := fmt.Fprintln(p.in, "go"); err != nil {
		return result{}, err
	}
	return p.follow(ctx, o, rate, before)
}

// startLeak starts the process where the limit holds for it.
func startLeak(ctx context.Context, o options, guard string, rate int) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := []string{self, "leak", "-limit", strconv.Itoa(o.limitMiB), "-rate", strconv.Itoa(rate)}
	if o.place == "systemd" {
		unit := append([]string{"systemd-run", "--quiet", "--collect", "--pipe", "--wait", "--unit=" + unitName, "-p", fmt.Sprintf("MemoryMax=%dM", o.limitMiB), "-p", "MemorySwapMax=0"},
			guardsByName[guard].properties(o)...)
		words = append(unit, words...)
	}
	p := &process{cmd: exec.CommandContext(ctx, words[0], words[1:]...), lines: make(chan []string, 16)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- strings.Fields(lines.Text())
		}
	}()
	if o.place == "v1" {
		err = os.WriteFile(filepath.Join(o.cgroup, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644)
	}
	return p, err
}

// await returns the line that begins with a word.
func (p *process) await(ctx context.Context, word string) ([]string, error) {
	limit := time.NewTimer(startIn)
	defer limit.Stop()
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				return nil, fmt.Errorf("the growing process ended before it said %q", word)
			}
			if len(line) > 1 && line[0] == word {
				return line, nil
			}
		case <-limit.C:
			return nil, fmt.Errorf("the growing process did not say %q within %v", word, startIn)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow waits until the process was relieved or is dead.
func (p *process) follow(ctx context.Context, o options, rate int, killsBefore int64) (result, error) {
	limit := time.NewTimer(time.Duration(o.limitMiB/rate+60) * time.Second)
	defer limit.Stop()
	var crossed, effect time.Time
	for effect.IsZero() {
		select {
		case line, open := <-p.lines:
			switch {
			case !open:
				r := result{byKernel: kernelKills() > killsBefore, lostMiB: o.limitMiB}
				if !crossed.IsZero() {
					r.reaction = time.Since(crossed)
				}
				return r, nil
			case len(line) > 1 && line[0] == "crossed":
				crossed = timeOf(line[1])
			case len(line) > 1 && line[0] == "trimmed":
				effect = timeOf(line[1])
			}
		case <-limit.C:
			return result{stalled: true}, nil
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
	}
	if crossed.IsZero() {
		crossed = effect // relieved before the crossing
	}
	// It is saved when it still runs after the relief.
	if err := pause(ctx, 200*time.Millisecond); err != nil {
		return result{}, err
	}
	select {
	case _, open := <-p.lines:
		if !open {
			return result{byKernel: kernelKills() > killsBefore, lostMiB: o.limitMiB}, nil
		}
	default:
	}
	return result{saved: true, reaction: effect.Sub(crossed)}, nil
}

func timeOf(nanos string) time.Time {
	n, _ := strconv.ParseInt(nanos, 10, 64)
	return time.Unix(0, n)
}

// end ends the process: it ends with its input.
func (p *process) end() {
	_ = p.in.Close()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// kernelKills is the number of processes that the kernel has killed for want of memory.
func kernelKills() int64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// summary is a line of the table.
func summary(guard string, rate int, all []result) string {
	var times []time.Duration
	saved, stalled, byGuard, byKernel, lost := 0, 0, 0, 0, 0
	for _, r := range all {
		lost += r.lostMiB
		switch {
		case r.saved:
			saved++
		case r.stalled:
			stalled++
			continue
		case r.byKernel:
			byKernel++
			continue
		default:
			byGuard++
		}
		times = append(times, r.reaction)
	}
	slices.Sort(times)
	at := func(share float64) string {
		if len(times) == 0 {
			return "-"
		}
		return strconv.FormatInt(times[min(int(share*float64(len(times))), len(times)-1)].Milliseconds(), 10)
	}
	return fmt.Sprintf("%-18s %6d %8s %8s %8s %8s %10d %10d %8d %10d", guard, rate, fmt.Sprintf("%d/%d", saved, len(all)), at(.5), at(.99), at(1),
		byGuard, byKernel, stalled, lost/len(all))
}

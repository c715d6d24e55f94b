package action

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	minReclaim    = 1 << 20
	reclaimChunk  = 32 << 20 // asked for at once, so that a cancelled run ends soon
	reclaimGiveUp = 3        // chunks in a row of which the kernel could not get all
	maxCgroupFile = 1 << 20
)

// ReclaimSettings are what a step gives the action reclaim_cgroup.
type ReclaimSettings struct {
	Amount units.Bytes `yaml:"amount"` // how much the kernel is asked to reclaim
}

// String implements Settings.
func (s *ReclaimSettings) String() string { return "reclaim_cgroup " + s.Amount.String() }

// Validate implements Settings.
func (s *ReclaimSettings) Validate(report report.Func) {
	switch {
	case s.Amount == 0:
		report("amount", "is missing: write how much the kernel is to take back, such as 256MiB")
	case s.Amount < minReclaim:
		report("amount", "%s is too little to be worth it: write at least %s", s.Amount, units.Bytes(minReclaim))
	}
}

// ReclaimOptions configure a ReclaimCgroup. Cgroup, Members and Logger are required.
type ReclaimOptions struct {
	Cgroup  func() (string, error) // path of the target's cgroup in the unified hierarchy; "" when it has none
	Members func() []proc.Member   // of the target, at present
	Sysfs   string                 // default /sys
	Logger  *slog.Logger
}

// ReclaimCgroup asks the kernel to take memory back from the cgroup of the target: page cache
// first, then what can be swapped out (memory.reclaim of cgroup v2). Nothing is lost by it but
// time. It touches no cgroup that holds a process which is not the target's.
type ReclaimCgroup struct{ opts ReclaimOptions }

// NewReclaimCgroup returns the action.
func NewReclaimCgroup(o ReclaimOptions) *ReclaimCgroup {
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	return &ReclaimCgroup{o}
}

// Run implements Action. Before and After are memory.current; what the processes freed or took
// meanwhile is in their difference too. Done says that the kernel took back all that was asked
// for, Partial a part of it.
func (a *ReclaimCgroup) Run(ctx context.Context, req Request) (Result, error) {
	settings, ok := req.Settings.(*ReclaimSettings)
	if !ok || settings.Amount <= 0 {
		return Result{Outcome: Failed}, fmt.Errorf("reclaim_cgroup: %w: write amount in the step", ErrNotConfigured)
	}
	dir, err := a.find()
	if err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("reclaim_cgroup: %w", err)
	}
	before, err := currentBytes(dir)
	if err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("reclaim_cgroup: %w", err)
	}
	res := Result{Before: before.String()}
	if req.DryRun {
		res.Outcome, res.Detail = DryRun, fmt.Sprintf("would ask for %s of %s", settings.Amount, dir)
		return res, nil
	}
	took, err := reclaim(ctx, filepath.Join(dir, "memory.reclaim"), int64(settings.Amount))
	if after, readErr := currentBytes(dir); readErr == nil {
		res.After = after.String()
	}
	res.Detail = fmt.Sprintf("the kernel took back at least %s of %s asked for", units.Bytes(took), settings.Amount)
	switch {
	case err != nil && took == 0:
		res.Outcome = Failed
	case took < int64(settings.Amount):
		res.Outcome = Partial
	default:
		res.Outcome = Done
	}
	a.opts.Logger.Info("asked the kernel to reclaim memory", "target", req.Target, "run", req.RunID, "outcome", string(res.Outcome),
		"before", res.Before, "after", res.After, "asked", settings.Amount.String())
	if err != nil {
		return res, fmt.Errorf("reclaim_cgroup: %w", err)
	}
	return res, nil
}

// find returns the folder of the target's cgroup after making sure that it is the target's own.
func (a *ReclaimCgroup) find() (string, error) {
	group, err := a.opts.Cgroup()
	switch {
	case err != nil:
		return "", err
	case group == "":
		return "", errors.New("the target is in no cgroup of version 2, or its processes share none")
	case group == "/.." || strings.HasPrefix(group, "/../"):
		return "", fmt.Errorf("the target's cgroup %s cannot be reached from inside this container: mount the host's /sys at /host/sys", group)
	case path.Clean(group) == "/":
		return "", errors.New("the target is in the root cgroup, which holds everything: start it in a cgroup of its own, such as a systemd service")
	}
	group = path.Clean("/" + group)
	for _, root := range []string{"fs/cgroup", "fs/cgroup/unified"} {
		dir := filepath.Join(a.opts.Sysfs, root, group)
		if _, err := os.Stat(filepath.Join(dir, "memory.reclaim")); err == nil {
			return dir, a.checkOwn(dir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("the cgroup %s has no memory.reclaim: it needs Linux 5.19 or later, cgroup version 2 and its memory controller", group)
}

// checkOwn refuses a cgroup that holds a process which is not the target's.
func (a *ReclaimCgroup) checkOwn(dir string) error {
	var own []int
	for _, m := range a.opts.Members() {
		own = append(own, m.PID)
	}
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		raw, err := readSmall(p)
		if err != nil {
			return err
		}
		for field := range strings.FieldsSeq(string(raw)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s holds %.40q, which is not a process", p, field)
			}
			if !slices.Contains(own, pid) {
				return fmt.Errorf("the cgroup %s holds process %d too, which is not the target's: start the target in a cgroup of its own, or match that process", filepath.Dir(p), pid)
			}
		}
		return nil
	})
}

// reclaim asks for an amount in chunks and returns how much the kernel said it took back.
func reclaim(ctx context.Context, file string, amount int64) (took int64, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for short := 0; took < amount && short < reclaimGiveUp; {
		if err := ctx.Err(); err != nil {
			return took, fmt.Errorf("stopped before its end: %w", err)
		}
		chunk := min(reclaimChunk, amount-took)
		switch _, err := f.WriteAt([]byte(strconv.FormatInt(chunk, 10)), 0); {
		case err == nil:
			took, short = took+chunk, 0
		case errors.Is(err, unix.EAGAIN): // it got less than that
			short++
		case errors.Is(err, unix.EINTR):
		default:
			return took, err
		}
	}
	return took, nil
}

func currentBytes(dir string) (units.Bytes, error) {
	file := filepath.Join(dir, "memory.current")
	raw, err := readSmall(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return units.Bytes(n), nil
}

func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCgroupFile))
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

// programLimit is the longest time of a program whose benchmark is a short one.
const programLimit = 15 * time.Minute

// command returns a command whose words are seen by whoever waits.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// buildImage returns the folder of the image, which is built when it is not in the cache.
func buildImage(ctx context.Context) (string, error) {
	out, err := command(ctx, "internal/vmtest/image").Output()
	return strings.TrimSpace(string(out)), err
}

// buildPayload makes the second disk: the package, the image, the tests, what runs in containers, the
// agent and the programs that it is to run.
func buildPayload(ctx context.Context, o options, cache string) (string, []vmtest.Program, error) {
	dir := filepath.Join(o.out, "payload")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	for _, args := range [][]string{
		{"build", "-trimpath", "-o", filepath.Join(dir, "agent"), "./internal/vmtest/agent"},
		{"build", "-trimpath", "-o", filepath.Join(dir, "reaction"), "./examples/bench/reaction"},
		{"build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "hold"), "./internal/vmtest/hold"},
		{"test", "-c", "-tags", "vm", "-o", filepath.Join(dir, "guest.test"), "./internal/vmtest/guest"},
	} {
		cmd := command(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return "", nil, err
		}
	}
	deb, err := os.ReadFile(o.deb)
	if err != nil {
		return "", nil, err
	}
	container, err := os.ReadFile(o.container)
	if err != nil {
		return "", nil, err
	}
	programs := slices.Clone(vmtest.Programs)
	if o.only != "" {
		names, err := command(ctx, filepath.Join(dir, "guest.test"), "-test.list="+o.only).Output()
		if err != nil {
			return "", nil, err
		}
		programs = selected(strings.Fields(string(names)))
	}
	for i := range programs {
		programs[i].Limit = programLimit.String()
		if o.rounds > 1 {
			programs[i].Limit = o.timeout.String()
		}
	}
	table, err := json.Marshal(programs)
	if err != nil {
		return "", nil, err
	}
	for name, content := range map[string][]byte{"spillway-exporter.deb": deb, "spillway_exporter.tar": container, "programs.json": table, vmtest.RoundsFile: []byte(strconv.Itoa(o.rounds))} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", nil, err
		}
	}
	if needsKubelet(programs) {
		if err := addKubelet(ctx, cache, dir); err != nil {
			return "", nil, fmt.Errorf("the kubelet: %w", err)
		}
	}
	disk := filepath.Join(o.out, "payload.img")
	return disk, programs, command(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-L", "payload", "-d", dir, disk, "512M").Run()
}

// selected returns the programs that run the named tests, after the one that installs the package.
func selected(names []string) []vmtest.Program {
	out := slices.Clone(vmtest.Programs[:1])
	for _, p := range vmtest.Programs[1:] {
		of := regexp.MustCompile(p.Run)
		mine := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !of.MatchString(name) })
		if len(mine) > 0 {
			p.Run = "^(" + strings.Join(mine, "|") + ")$"
			out = append(out, p)
		}
	}
	return out
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// round is what a guard knows of a run.
type round struct {
	number int
	trim   string // the URL that drops the ballast
	dir    string // of this run, made by who needs it
}

// guard starts what protects the process; stop ends it.
type guard struct {
	start      func(context.Context, options, *round) (stop func(), err error)
	properties func(options) []string // of the transient unit
}

var guardsByName = map[string]*guard{
	"spillway": {startSpillway, noProperties},
	"earlyoom": {startEarlyoom, noProperties},
	"earlyoom-default": {func(ctx context.Context, _ options, _ *round) (func(), error) {
		return startProgram(ctx, nil, "earlyoom")
	}, noProperties},
	"systemd-oomd": {startOomd, oomdProperties},
	"none":         {func(context.Context, options, *round) (func(), error) { return func() {}, nil }, noProperties},
}

func guardNames() []string { return slices.Sorted(maps.Keys(guardsByName)) }

func noProperties(options) []string { return nil }

const patience = 15 * time.Second // with a program that does not end

// startProgram starts a program that is ended by SIGTERM, which runuser passes on.
func startProgram(ctx context.Context, log *os.File, words ...string) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop()
		_ = cmd.Wait()
	}, nil
}

const spillwayConfig = `mode: enforce
trust_loopback: true
targets:
  - name: leak
    processes: {match: {%s}}
    playbooks: {relieve_memory: [{do: http, url: '%s', timeout: 5s}]}
journal: {dir: %s/journal}
`

// startSpillway starts the exporter with its defaults, and with a journal of its own: a cooldown of
// the run before does not hold.
func startSpillway(ctx context.Context, o options, r *round) (func(), error) {
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return nil, err
	}
	if err := os.Chmod(r.dir, os.ModeSticky|0o777); err != nil { // the exporter may be another user, as in /tmp
		return nil, err
	}
	match := "cmdline: 'reaction leak'"
	if o.place == "systemd" {
		match = "systemd_unit: " + unitName
	}
	file := filepath.Join(r.dir, "spillway.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, spillwayConfig, match, r.trim, r.dir), 0o644); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	stop, err := startProgram(ctx, log, append(slices.Clone(o.exporter), "serve", "--config.file="+file, "--web.listen-address="+address)...)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(startIn); ; {
		if resp, err := http.Get("http://" + address + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil || time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("the exporter is not ready: see %s", log.Name())
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startEarlyoom starts earlyoom so that it acts where the process passes 85 % of its limit: it knows
// the memory of the host alone.
func startEarlyoom(ctx context.Context, o options, _ *round) (func(), error) {
	available, err := availableKiB()
	if err != nil {
		return nil, err
	}
	left := available - int64((critical-startFrom)*float64(o.limitMiB))<<10
	return startProgram(ctx, nil, "earlyoom", "-r", "0", "-M", strconv.FormatInt(left, 10), "--prefer", "^reaction$")
}

func availableKiB() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("MemAvailable:"))
	fields := strings.Fields(string(rest[:min(len(rest), 40)]))
	if len(fields) == 0 {
		return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
	}
	return strconv.ParseInt(fields[0], 10, 64)
}

// oomdProperties let systemd-oomd act on the unit: the process is slowed down from 85 % of its limit
// on, and killed when it has waited for memory in half of ten seconds.
func oomdProperties(o options) []string {
	return []string{"-p", fmt.Sprintf("MemoryHigh=%dM", int(critical*float64(o.limitMiB))), "-p", "ManagedOOMMemoryPressure=kill", "-p", "ManagedOOMMemoryPressureLimit=50%"}
}

// startOomd starts the service as the distribution ships it.
func startOomd(ctx context.Context, _ options, _ *round) (func(), error) {
	if out, err := exec.CommandContext(ctx, "systemctl", "start", "systemd-oomd.service").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("start systemd-oomd: %w: %s", err, out)
	}
	return func() { _ = exec.Command("systemctl", "stop", "systemd-oomd.service").Run() }, nil
}

// Package start measures how long the exporter's commands take from their start, and how much
// memory, with a number of processes on the host. start.sh runs it.
package start

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const config = `
targets:
  - name: sleepers
    processes: {match: {comm: sleep}}
    heap: {provider: node_inspector, address: '127.0.0.1:1'}
    temp_dirs: [{name: tmp, dir: %s, include: ['*.tmp'], max_age: 1h}]
`

var listening = regexp.MustCompile(`msg="Listening on" address=([0-9.:]+)`)

// setup starts the host's processes and writes the configuration.
func setup(b *testing.B) (binary, file string) {
	b.Helper()
	binary = os.Getenv("SPILLWAY")
	if binary == "" {
		b.Skip("SPILLWAY is not set: run start.sh")
	}
	n, err := strconv.Atoi(os.Getenv("PROCESSES"))
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	dir, err := filepath.EvalSymlinks(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	files := filepath.Join(dir, "files")
	file = filepath.Join(dir, "spillway.yml")
	text := regexp.MustCompile(`%s`).ReplaceAllLiteralString(config, files)
	if err := os.Mkdir(files, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text+"journal: {dir: "+filepath.Join(dir, "journal")+"}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	return binary, file
}

func report(b *testing.B, took []time.Duration, kib int64) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "p90-ms")
	b.ReportMetric(float64(kib)/1024, "MiB-RSS")
}

func command(b *testing.B, args ...string) {
	binary, file := setup(b)
	var took []time.Duration
	var kib int64
	for b.Loop() {
		cmd := exec.Command(binary, append(args, "--config.file="+file)...)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		took = append(took, time.Since(start))
		kib = max(kib, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	}
	report(b, took, kib)
}

// BenchmarkCheck is the whole command: configuration, rules, members, and a plan.
func BenchmarkCheck(b *testing.B) { command(b, "check") }

// BenchmarkCleanup is a dry run over an empty folder.
func BenchmarkCleanup(b *testing.B) { command(b, "cleanup", "--dry-run") }

// BenchmarkExplain reads about one process.
func BenchmarkExplain(b *testing.B) { command(b, "explain", strconv.Itoa(os.Getpid())) }

// BenchmarkServe is from the start of the process to the end of the first scrape that has the
// target's processes; RSS is that after it.
func BenchmarkServe(b *testing.B) {
	binary, file := setup(b)
	var took []time.Duration
	var kib int64
	for b.Loop() {
		cmd := exec.Command(binary, "--config.file="+file, "--web.listen-address=127.0.0.1:0")
		log, err := cmd.StderrPipe()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		address := ""
		for sc := bufio.NewScanner(log); address == "" && sc.Scan(); {
			if m := listening.FindStringSubmatch(sc.Text()); m != nil {
				address = m[1]
			}
		}
		go io.Copy(io.Discard, log)
		for {
			if body, ok := scrape(address); ok && regexp.MustCompile(`(?m)^spillway_processes\{target="sleepers"\} [1-9]`).Match(body) {
				break
			}
			if time.Since(start) > 30*time.Second {
				b.Fatal("no scrape with the target's processes within 30 s")
			}
		}
		took = append(took, time.Since(start))
		kib = max(kib, resident(b, cmd.Process.Pid))
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	report(b, took, kib)
}

func scrape(address string) ([]byte, bool) {
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return body, err == nil && resp.StatusCode == http.StatusOK
}

func resident(b *testing.B, pid int) int64 {
	b.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		b.Fatal("no VmRSS")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

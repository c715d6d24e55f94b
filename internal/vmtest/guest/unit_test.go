//go:build vm

package guest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shop is a target with every kind of folder.
const shop = `
targets:
  - name: shop
    processes: {match: {comm: dbus-daemon}}
    caches: [{name: media, dir: /srv/shop/cache, include: ['*.json'], max_bytes: 1GiB, max_age: 1d, evict_to: 70%}]
    temp_dirs: [{name: tts, dir: /srv/shop/tts, include: ['*.wav'], age_by: mtime, max_age: 1h, every: 5m}]
    uploads: [{name: incoming, dir: /srv/shop/uploads, max_file_bytes: 1GiB, max_bytes: 1GiB, max_age: 1d}]
    logs: [{name: app, dir: /srv/shop/logs, include: ['*.log'], max_bytes: 100MiB, keep_files: 5}]
`

// makeShop makes the folders of shop, of a user who is not the exporter's, closed to others.
func makeShop(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll("/srv/shop"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"cache/a.json", "cache/deep/b.json", "tts/a.wav", "tts/b.wav", "tts/c.wav", "uploads/a.bin", "logs/app.log"} {
		old(t, "/srv/shop/"+path)
	}
	sh(t, "chown -R app:app /srv/shop; chmod -R o-rwx /srv/shop")
}

func TestUnitStartsWithFolders(t *testing.T) {
	what(t, "the unit starts with caches, temporary folders, uploads and logs of another user")
	makeShop(t)
	serve(t, shop)
	expect(t, `spillway_cache_entries{cache="media",target="shop"}`, 2)
	expect(t, `spillway_temp_files{dir="tts",target="shop"}`, 3)
	expect(t, `spillway_temp_expired_files{dir="tts",target="shop"}`, 3)
	expect(t, `spillway_upload_files{dir="incoming",target="shop"}`, 1)
	expect(t, `spillway_log_files{dir="app",target="shop"}`, 1)
	if got := property(t, unit, "NRestarts"); got != "0" {
		t.Errorf("it was restarted %s times", got)
	}
}

// mainPID returns the process of the unit.
func mainPID(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(property(t, unit, "MainPID"))
	if err != nil || pid == 0 {
		t.Fatalf("the unit has no process: %v\n%s", err, logs(t))
	}
	return pid
}

// replaced waits until the unit runs as another process, and is ready.
func replaced(t *testing.T, pid int, limit time.Duration) {
	t.Helper()
	within(t, limit, func() error {
		if property(t, unit, "ActiveState") != "active" || property(t, unit, "MainPID") == strconv.Itoa(pid) {
			return fmt.Errorf("process %d is not replaced: %s", pid, property(t, unit, "ActiveState"))
		}
		return nil
	})
	ready(t)
}

func TestUnitComesBackAfterKill(t *testing.T) {
	what(t, "`kill -9`: back by itself, the journal readable")
	serve(t, shop)
	pid := mainPID(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	replaced(t, pid, 30*time.Second)
	expect(t, "spillway_journal_writable", 1)
}

// A Go program that panics exits with 2, as it does for a wrong configuration, unless the unit asks
// for a death by SIGABRT.
func TestUnitComesBackAfterCrash(t *testing.T) {
	what(t, "a crash of the program (SIGABRT, as a panic): back by itself, no core file")
	serve(t, shop)
	pid := mainPID(t)
	if got := sh(t, fmt.Sprintf("grep 'core file' /proc/%d/limits | tr -s ' '", pid)); !strings.HasPrefix(got, "Max core file size 0 0") {
		t.Errorf("limits: %s", got)
	}
	if err := syscall.Kill(pid, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	replaced(t, pid, 30*time.Second)
}

func TestUnitWatchdog(t *testing.T) {
	what(t, "a process that hangs is restarted by the watchdog")
	serve(t, shop, "[Service]\nWatchdogSec=10s\n") // as shipped, 60 s: only the wait is shorter
	pid := mainPID(t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	replaced(t, pid, 90*time.Second)
	if got := sh(t, "journalctl -u "+unit+" --since -5min -o cat --no-pager | grep -c 'Watchdog timeout'"); got == "0" {
		t.Error("it was not the watchdog")
	}
}

func TestUnitReload(t *testing.T) {
	what(t, "`systemctl reload`: a good configuration is loaded, a bad one refused, the process stays")
	serve(t, shop)
	pid := mainPID(t)
	write(t, configFile, strings.Replace(read(t, configFile), "name: tts", "name: speech", 1))
	run(t, "systemctl", "reload", unit)
	expect(t, `spillway_temp_files{dir="speech",target="shop"}`, 3)
	write(t, configFile, "mode: enfroce\n")
	_, _ = try("systemctl", "reload", unit)
	expect(t, "spillway_config_last_reload_successful", 0)
	expect(t, `spillway_temp_files{dir="speech",target="shop"}`, 3)
	if got := mainPID(t); got != pid {
		t.Errorf("process %d became %d", pid, got)
	}
}

func TestUnitRefusesBadConfiguration(t *testing.T) {
	what(t, "a wrong configuration: exit status 2, not retried")
	configure(t, "mode: enfroce\n")
	if _, err := try("systemctl", "restart", unit); err == nil {
		t.Fatal("it started")
	}
	if got := property(t, unit, "ExecMainStatus"); got != "2" {
		t.Errorf("exit status %s, want 2", got)
	}
	if got := property(t, unit, "ActiveState"); got != "failed" {
		t.Errorf("it is %s, want failed", got)
	}
}

// blocks returns the paragraphs of the shipped drop-in that offer settings behind a #, switched on.
func blocks(t *testing.T) []string {
	t.Helper()
	var out []string
	for paragraph := range strings.SplitSeq(read(t, shipped), "\n\n") {
		block := "[Service]\n"
		for line := range strings.Lines(paragraph) {
			setting := strings.TrimPrefix(line, "#")
			key, _, ok := strings.Cut(setting, "=")
			if ok && setting != line && key != "" && !strings.ContainsAny(key, " \t:") {
				block += setting
			}
		}
		if strings.Count(block, "=") > 0 {
			out = append(out, strings.ReplaceAll(block, "SupplementaryGroups=video", "SupplementaryGroups=app")+"\n")
		}
	}
	return out
}

func TestUnitDropIns(t *testing.T) {
	what(t, "each paragraph of `enforce.conf` alone, and all of them")
	makeShop(t)
	on := blocks(t)
	if len(on) < 5 {
		t.Fatalf("only %d paragraphs: %q", len(on), on)
	}
	check := func(conf ...string) {
		t.Helper()
		serve(t, shop, conf...)
		expect(t, `spillway_temp_files{dir="tts",target="shop"}`, 3)
		if got := property(t, unit, "NRestarts"); got != "0" {
			t.Errorf("with %q it was restarted %s times", conf, got)
		}
	}
	check(read(t, shipped) + "\n")
	for _, block := range on {
		t.Log(block)
		check(block)
	}
	check(on...)
}

func TestUnitProcevents(t *testing.T) {
	what(t, "`procevents: true` under its drop-in: exits by reason")
	transient(t, "spawner", "-p", "User=app", "bash", "-c", "while sleep 0.2; do bash -c 'exit 3'; done")
	config := "procevents: true\ntargets: [{name: spawner, processes: {match: {systemd_unit: spawner.service}, children: true}}]\n"
	var conf string
	for _, block := range blocks(t) {
		if strings.Contains(block, "AF_NETLINK") {
			conf = block
		}
	}
	serve(t, config, conf)
	atLeast(t, `spillway_process_exit_reasons_total{reason="exit_error",target="spawner"}`, 3)
}

//go:build attack

package attack

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	spoofer     = 65534
	spoofVictim = 65533 // the user of the service that is played
)

// spoofTime returns how long an attack takes.
func spoofTime(t *testing.T) time.Duration {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("an attack acts as other users: run it as root")
	}
	d, err := time.ParseDuration(os.Getenv("ATTACK_TIME"))
	if err != nil {
		return 5 * time.Second
	}
	return d
}

// spoofAs starts a program as a user, until the test ends.
func spoofAs(t *testing.T, uid int, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

// TestAttackSpoofProgram: another user exchanges, without end, all that a step's program depends on and that he can
// change. Harm is each time that his program runs as root.
func TestAttackSpoofProgram(t *testing.T) {
	limit := spoofTime(t)
	base, err := os.MkdirTemp("/var/lib", ".spillway-attack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	mark := base + "/marks"
	const good = "#!/bin/sh\nexit 0\n"
	evil := "#!/bin/sh\nid -u >" + mark + "/$$\n"
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"owned", "group", "sticky", "bin"} {
		write(base+"/"+dir+"/run", good)
	}
	write(base+"/safe/script", "#!"+base+"/bin/run\n")
	if err := errors.Join(os.Chmod(base, 0o755), os.Mkdir(mark, 0o777), os.Chmod(mark, 0o777), os.Chown(base+"/owned", spoofer, -1), os.Chown(base+"/group", -1, spoofer),
		os.Chmod(base+"/group", 0o775), os.Chmod(base+"/sticky", 0o777|os.ModeSticky), os.Chown(base+"/sticky/run", spoofer, -1), os.Chown(base+"/bin", spoofer, -1)); err != nil {
		t.Fatal(err)
	}
	spoofAs(t, spoofer, "/bin/sh", "-c", `cd `+base+`; while :; do for d in owned group bin sticky; do
		printf '%s' '`+evil+`' >$d/.new 2>/dev/null && chmod 755 $d/.new && mv -f $d/.new $d/run; [ -d $d ] && chmod 755 $d/run $d
		ln -sf /bin/true $d/.link && mv -f $d/.link $d/run
	done 2>/dev/null; done`)
	command := action.NewCommand(slog.New(slog.DiscardHandler))
	tries, ran := 0, 0
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		for _, path := range []string{"/owned/run", "/group/run", "/sticky/run", "/safe/script"} {
			res, _ := command.Run(t.Context(), action.Request{Target: "svc", Settings: &action.CommandSettings{Argv: []string{base + path}, Env: action.DefaultEnv}})
			tries++
			if res.Outcome != action.Failed {
				ran++ // even a harmless one: he could have chosen another
			}
		}
	}
	marks, err := os.ReadDir(mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("attack=program-of-others tries=%d harm=%d", tries, max(ran, len(marks)))
	if ran > 0 || len(marks) > 0 || tries == 0 {
		t.Errorf("of %d tries %d ran, %d of them what the other user had written", tries, ran, len(marks))
	}
}

// spoofService listens for a moment and pauses, again and again, and answers as the heap of a Go service would.
const spoofService = `use IO::Socket::INET; my ($port, $used, $for, $pause) = @ARGV;
while (1) {
	my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1) or (select(undef, undef, undef, 0.001), next);
	my $end = time + $for; $s->timeout($for);
	while (my $c = $s->accept) { sysread($c, my $r, 4096); print $c "HTTP/1.0 200 OK\r\n\r\n# runtime.MemStats\n# HeapAlloc = $used\n# HeapSys = 9000\n# HeapReleased = 0\n"; close $c; last if rand() < 0.3 }
	close $s; select(undef, undef, undef, rand($pause));
}`

// TestAttackSpoofHeap: another user listens at the address of a service's heap whenever the service does not. Harm is
// each reading that is his.
func TestAttackSpoofHeap(t *testing.T) {
	limit := spoofTime(t)
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip(err)
	}
	port := strconv.Itoa(20000 + os.Getpid()%10000)
	service := spoofAs(t, spoofVictim, perl, "-e", spoofService, port, "1000", "0.05", "0.02")
	spoofAs(t, spoofer, perl, "-e", spoofService, port, "6666", "0.02", "0.005")
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "svc", Config: proc.Config{Match: proc.Match{Comm: "perl", User: strconv.Itoa(spoofVictim)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	for deadline := time.Now().Add(5 * time.Second); len(tracker.Members("svc")) == 0; tracker.Refresh(t.Context(), time.Now()) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is not found", service.Process.Pid)
		}
	}
	pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler)})
	defer pool.Close()
	tries, own, harm := 0, 0, 0
	kinds := map[string]int{}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		// A client of its own each time: one that has failed rests.
		client, err := pool.Get(heap.Config{Provider: heap.ProviderGo, Address: "127.0.0.1:" + port}, heap.Target{Name: "svc", Members: func() []proc.Member { return tracker.Members("svc") }})
		if err != nil {
			t.Fatal(err)
		}
		u, err := client.Read(t.Context())
		client.Close()
		tries++
		switch {
		case err != nil:
			kinds[spoofKind(err)]++
		case u.Used == heap.Some(1000):
			own++
		default:
			harm++
		}
	}
	t.Logf("attack=listener-of-others tries=%d harm=%d", tries, harm)
	if harm > 0 || tries == 0 || own == 0 || kinds["stranger"] == 0 {
		t.Errorf("of %d readings %d were the service's, %d the other user's, and failed: %v", tries, own, harm, kinds)
	}
}

func spoofKind(err error) string {
	for says, kind := range map[string]string{"none of the target's": "stranger", "another socket listens": "exchanged", "refused": "refused", "reset": "reset", "EOF": "closed"} {
		if strings.Contains(err.Error(), says) {
			return kind
		}
	}
	return fmt.Sprint(err)
}

//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	stageService = 4242 // the user that owns the watched folders, and attacks
	stageOther   = 4343 // another user of the host
	stageToken   = "of-the-stage"
	stageEnv     = "SPILLWAY_ATTACKER"
)

// stage is one attack: a folder of root, the exporter that cleans below it as root, and attackers.
type stage struct {
	t          *testing.T
	dir        string // root's own, and searchable for all; /tmp, above it, is sticky
	until      time.Time
	config     string // path
	exporter   *stageProcess
	url        string
	prefix     []string // of every command line
	manifest   stageManifest
	standalone bool // the embedded rules run too
	tries      int64
	harm       int64
	runs       int // that have ended
}

// newStage makes the folder. The attack lasts until ATTACK_TIME is over, reckoned from here.
func newStage(t *testing.T) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("attacks need root: run make attack as root")
	}
	limit := 5 * time.Second
	if text := os.Getenv("ATTACK_TIME"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatalf("ATTACK_TIME: %v", err)
		}
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &stage{t: t, dir: dir, until: time.Now().Add(limit), manifest: stageManifest{}}
}

// lasts reports whether the time of the attack is not over.
func (s *stage) lasts() bool { return time.Now().Before(s.until) && !s.t.Failed() }

// tried counts tries.
func (s *stage) tried(n int64) { s.tries += n }

// harmed counts a harm, and says the first ones.
func (s *stage) harmed(format string, args ...any) {
	s.t.Helper()
	if s.harm++; s.harm <= 10 {
		s.t.Logf("harm: "+format, args...)
	}
}

// report says what came of the attack. It is called once, at the end.
func (s *stage) report(name string) {
	s.t.Helper()
	for _, what := range s.manifest.missing() {
		s.harmed("%s", what)
	}
	s.t.Logf("attack=%s tries=%d harm=%d", name, s.tries, s.harm)
	if s.harm > 0 {
		s.t.Errorf("%d times harm was done", s.harm)
	}
	if s.tries == 0 {
		s.t.Error("nothing was tried")
	}
}

// stageBinary is the exporter under attack.
func stageBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv("ATTACK_BINARY"), "../../spillway_exporter"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

// configure writes the configuration: targets is what stands below that key.
func (s *stage) configure(targets string) {
	s.t.Helper()
	s.config = s.dir + "/spillway.yml"
	s.write(s.dir+"/token", stageToken, 0)
	text := fmt.Sprintf("mode: enforce\nstandalone: %v\nevaluation_interval: 1s\nsample_interval: 1s\nscan_interval: 1s\nwebhook: {token_file: %s/token}\njournal: {dir: %s/journal}\ntargets:\n",
		s.standalone, s.dir, s.dir)
	s.write(s.config, text+targets, 0)
}

var stageListening = regexp.MustCompile(`msg="Listening on" address=([0-9.]+:[0-9]+)`)

// serve starts the exporter with a configuration of these targets. It is stopped with the test.
func (s *stage) serve(targets string) {
	s.t.Helper()
	s.configure(targets)
	s.restart()
}

// restart starts the exporter with the configuration that is there.
func (s *stage) restart() {
	s.t.Helper()
	s.exporter, s.url = s.launch(s.config)
}

// launch starts an exporter and returns where it answers.
func (s *stage) launch(config string) (p *stageProcess, url string) {
	s.t.Helper()
	p = s.start(nil, stageBinary(s.t), "--config.file="+config, "--web.listen-address=127.0.0.1:0")
	s.await(20*time.Second, "the exporter is ready", func() error {
		if p.ended() {
			s.t.Fatalf("the exporter has ended:\n%s", p.out.String())
		}
		m := stageListening.FindStringSubmatch(p.out.String())
		if m == nil {
			return errors.New("it has no address yet")
		}
		url = "http://" + m[1]
		resp, err := stageClient.Get(url + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	return p, url
}

// await polls until f returns nil, and ends the test at the limit.
func (s *stage) await(limit time.Duration, what string, f func() error) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}

var stageClient = &http.Client{Timeout: 10 * time.Second}

func (s *stage) get(path string) ([]byte, error) { return s.ask(http.MethodGet, path, "") }

// ask makes a request with the token.
func (s *stage) ask(method, path, body string) ([]byte, error) {
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+stageToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := stageClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, answer)
	}
	return answer, err
}

// stageRecord is what the attacks read of a record of the journal.
type stageRecord struct {
	Step       int              `json:"step"`
	Action     string           `json:"action"`
	Outcome    string           `json:"outcome"`
	Detail     string           `json:"detail"`
	Files      int64            `json:"files"`
	FreedBytes int64            `json:"freed_bytes"`
	Skipped    map[string]int64 `json:"skipped"`
}

// stageRotations says how many logs a run has rotated, which is no number of its record.
var stageRotations = regexp.MustCompile(`rotated (\d+) logs`)

// begin starts an action of the target app and returns the id of its run.
func (s *stage) begin(action string) string {
	s.t.Helper()
	raw, err := s.ask(http.MethodPost, "/api/v1/run", `{"target":"app","action":"`+action+`"}`)
	var answer struct {
		ID string `json:"run_id"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &answer)
	}
	if err != nil || answer.ID == "" {
		s.t.Fatalf("run %s: %v: %s\n%s", action, err, raw, s.exporter.out.String())
	}
	return answer.ID
}

// end waits for a run and returns the record of its step.
func (s *stage) end(id string) stageRecord {
	s.t.Helper()
	var step stageRecord
	s.await(2*time.Minute, "the run "+id+" has ended", func() error {
		raw, err := s.get("/api/v1/journal?run_id=" + id)
		if err != nil {
			return err
		}
		var page struct {
			Records []stageRecord `json:"records"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return err
		}
		ended := false
		for _, r := range page.Records {
			if r.Step == 0 {
				ended = r.Outcome != ""
			} else {
				step = r
			}
		}
		if !ended {
			return errors.New("it is open")
		}
		return nil
	})
	if m := stageRotations.FindStringSubmatch(step.Detail); m != nil && step.Files == 0 {
		step.Files, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if s.runs++; s.runs <= 3 || step.Outcome == "failed" && s.runs < 20 {
		s.t.Logf("run %d: %+v", s.runs, step)
	}
	return step
}

// run is begin and end.
func (s *stage) run(action string) stageRecord {
	s.t.Helper()
	return s.end(s.begin(action))
}

// clean runs the action again and again until the time is over.
func (s *stage) clean(action string) (files int64) {
	s.t.Helper()
	for s.lasts() {
		files += s.run(action).Files
	}
	return files
}

// stageOutput is what a process has printed.
type stageOutput struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *stageOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *stageOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// stageProcess is a program that is stopped with the test.
type stageProcess struct {
	cmd  *exec.Cmd
	out  stageOutput
	in   io.WriteCloser
	done chan struct{}
}

// start starts a program.
func (s *stage) start(env []string, argv ...string) *stageProcess {
	s.t.Helper()
	argv = append(slices.Clone(s.prefix), argv...)
	p := &stageProcess{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		s.t.Fatalf("%s: %v", argv[0], err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(p.stop)
	return p
}

func (p *stageProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the process, and its group when it does not within 20 s.
func (p *stageProcess) stop() {
	p.in.Close()
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.kill()
	}
}

func (p *stageProcess) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stageAttacker is a process of another user that plays a role until it is stopped.
type stageAttacker struct {
	*stageProcess
	s *stage
}

// attack starts an attacker as the user. Its roles are in stageRoles; it is at work when attack returns.
func (s *stage) attack(uid int, role string, args ...string) *stageAttacker {
	s.t.Helper()
	program := s.dir + "/attacker"
	if _, err := os.Stat(program); err != nil {
		raw, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(program, raw, 0o755)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	raw, err := json.Marshal(append([]string{role}, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	id := strconv.Itoa(uid)
	p := s.start([]string{stageEnv + "=" + string(raw), "GOMAXPROCS=1"}, "setpriv", "--reuid="+id, "--regid="+id, "--clear-groups",
		program, "-test.run=^TestStageAttacker$", "-test.v", "-test.timeout=0")
	s.await(20*time.Second, role+" is at work", func() error {
		if p.ended() {
			s.t.Fatalf("%s has ended: %s", role, p.out.String())
		}
		if !strings.Contains(p.out.String(), "at work\n") {
			return errors.New("not yet")
		}
		return nil
	})
	return &stageAttacker{p, s}
}

var (
	stageTries = regexp.MustCompile(`(?m)^tries=(\d+)$`)
	stageHarms = regexp.MustCompile(`(?m)^harm: (.*)$`)
)

// leave ends the attacker and counts what it tried and what it calls harm.
func (a *stageAttacker) leave() (tries int64) {
	a.s.t.Helper()
	a.in.Close()
	select {
	case <-a.done:
	case <-time.After(30 * time.Second):
		a.kill()
	}
	m := stageTries.FindStringSubmatch(a.out.String())
	if m == nil {
		a.s.t.Fatalf("the attacker has failed: %s", a.out.String())
	}
	tries, _ = strconv.ParseInt(m[1], 10, 64)
	a.s.tried(tries)
	for _, m := range stageHarms.FindAllStringSubmatch(a.out.String(), -1) {
		a.s.harmed("%s", m[1])
	}
	return tries
}

// stageRole is what an attacker does. It goes on while next returns true, and returns how often it tried.
type stageRole func(args []string, next func() bool) (tries int64, err error)

// TestStageAttacker is not a test: it is the attacker, in a process of its own.
func TestStageAttacker(t *testing.T) {
	var args []string
	if err := json.Unmarshal([]byte(os.Getenv(stageEnv)), &args); err != nil {
		t.Skip("runs in a process of its own")
	}
	left := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		close(left)
	}()
	fmt.Println("at work")
	tries, err := stageRoles[args[0]](args[1:], func() bool {
		select {
		case <-left:
			return false
		default:
			return true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\ntries=%d\n", tries)
}

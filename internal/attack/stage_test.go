//go:build attack

package attack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// stageRotations says how many logs a run has rotated, which is not a number in its record.
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

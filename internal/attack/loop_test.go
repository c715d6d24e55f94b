//go:build attack

package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	loopTargets = 6
	loopLongest = 40 * time.Second // of a restart: each request to the service has its own limit
	loopMost    = 96 << 20         // resident bytes of the exporter
)

// ran returns how often the command of each target has run.
func (s *stage) ran(effects string) map[string]int {
	s.t.Helper()
	raw, err := os.ReadFile(effects)
	if err != nil {
		s.t.Fatal(err)
	}
	out := make(map[string]int)
	for line := range strings.Lines(string(raw)) {
		out[strings.TrimSpace(line)]++
	}
	return out
}

// peak returns the most memory that the exporter has held.
func (s *stage) peak() int64 {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.exporter.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return kib << 10
}

// loopElsewhere is a server that no one has configured, and that counts who comes.
func loopElsewhere(t *testing.T) (url string, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came = new(atomic.Int64)
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) })}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String() + "/", came
}

// grown starts so many services, which stand for targets, and returns their conditions once they are so old that what they
// hold is not taken for a reading right after their start.
func (s *stage) grown(n int) (match []string) {
	s.t.Helper()
	for i := range n {
		p := s.start(nil, "sleep", "100000")
		pidfile := fmt.Sprintf("%s/pid%d", s.dir, i)
		s.write(pidfile, fmt.Sprintln(p.cmd.Process.Pid), 0)
		match = append(match, "pidfile: "+pidfile+", user: '0'")
	}
	began := time.Now()
	s.await(time.Minute, "they are old enough", func() error {
		if age := time.Since(began); age < 32*time.Second {
			return fmt.Errorf("%s", age)
		}
		return nil
	})
	return match
}

// loopAddress returns an address that is free.
func loopAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestAttackRestartOfAnother: other users play the service that is drained and probed, the engine that restarts it, and the
// process that it consists of. Harm is each request to a server that no one has configured, or to an engine of
// theirs, each restart of something else, one restart too many, and a run that does not end.
func TestAttackRestartOfAnother(t *testing.T) {
	s := newStage(t)
	limit := time.Until(s.until)
	elsewhere, came := loopElsewhere(t)
	theirs, effects := s.dir+"/theirs", s.dir+"/effects"
	s.write(effects, "", 0)
	if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, stageOther, stageOther)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.dir+"/engine.sock")
	if err != nil {
		t.Fatal(err)
	}
	var restarted atomic.Int64
	engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			restarted.Add(1)
		}
		fmt.Fprint(w, `{"Id":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","State":{"Status":"running","Running":true,"StartedAt":"2026-01-01T00:00:00Z"}}`)
	})}
	go engine.Serve(l)
	t.Cleanup(func() { engine.Close() })
	old := s.grown(loopTargets + 1)
	const step = "when: [emergency], cooldown: 1s, budget: {at_most: 100, per: 1m}, ready: 1s"
	target := func(name, match, more, restart string) string {
		return fmt.Sprintf("  - {name: %s, processes: {match: {%s}}, memory: {limit: 1MiB}, %splaybooks: {last: [{do: restart, %s, %s}]}}\n", name, match, more, restart, step)
	}
	targets := target("engine", old[loopTargets], "", "via: docker, container: web, socket: "+theirs+"/engine.sock") +
		target("named", "comm: loop-impostor", "", "via: docker, socket: "+s.dir+"/engine.sock")
	attackers := []*stageAttacker{
		s.attack(stageOther, "engine", theirs+"/engine.sock", elsewhere), s.attack(stageOther, "impostor", "loop-impostor"),
	}
	names := []string{"engine", "named"}
	for i := range loopTargets {
		name, address := fmt.Sprintf("drained%d", i), loopAddress(t)
		url := "http://" + address
		more := fmt.Sprintf("probe: {url: %s/health, interval: 1s, timeout: 1s}, ", url)
		targets += target(name, old[i], more, fmt.Sprintf("via: command, command: [/bin/sh, -c, 'echo $SPILLWAY_TARGET >> %s'], drain: {post: %s/drain, idle: %s/idle, undo: %s/undo, deadline: 1s}", effects, url, url, url))
		attackers = append(attackers, s.attack(stageOther, "service", address, elsewhere))
		names = append(names, name)
	}
	s.serve(targets)
	s.until = time.Now().Add(limit)
	runs := make(map[string]int)
	for s.lasts() {
		for _, name := range names {
			raw, err := s.ask(http.MethodPost, "/api/v1/run", `{"target":"`+name+`","playbook":"last"}`)
			if err == nil {
				runs[name]++
			} else if !strings.Contains(err.Error(), "503") && !strings.Contains(err.Error(), "409") && !strings.Contains(err.Error(), "queue") {
				t.Fatalf("%v: %s", err, raw)
			}
		}
		stagePause(100 * time.Millisecond)
	}
	began := time.Now()
	s.await(2*time.Minute, "all runs have ended", func() error {
		raw, err := s.get("/api/v1/journal?outcome=open&limit=100")
		var page struct {
			Records []stageRecord `json:"records"`
		}
		if err == nil {
			err = json.Unmarshal(raw, &page)
		}
		if err == nil && len(page.Records) > 0 {
			err = fmt.Errorf("%d are open", len(page.Records))
		}
		return err
	})
	if took := time.Since(began); took > loopLongest*2 {
		s.harmed("the last run ended after %s", took)
	}
	s.judgeRestarts(effects, runs, came.Load(), restarted.Load())
	if raw, err := s.get("/api/v1/journal?target=named&limit=1000"); err != nil || !strings.Contains(string(raw), "the container is not known") {
		t.Errorf("no one took the impostor for the service: %v, %s", err, raw)
	}
	for _, a := range attackers {
		a.leave()
	}
	s.report("restart-of-another")
}

// judgeRestarts counts what should not have happened.
func (s *stage) judgeRestarts(effects string, runs map[string]int, came, restarted int64) {
	s.t.Helper()
	if came > 0 {
		s.harmed("a redirect was followed %d times", came)
	}
	if restarted > 0 {
		s.harmed("%d containers were restarted that are not the target's", restarted)
	}
	ran := s.ran(effects)
	for name, n := range ran {
		if !strings.HasPrefix(name, "drained") || n > runs[name] {
			s.harmed("%s was restarted %d times in %d runs", name, n, runs[name])
		}
	}
	if len(ran) == 0 {
		s.t.Errorf("nothing was restarted at all, of %v runs", runs)
	}
	if peak := s.peak(); peak > loopMost {
		s.harmed("the exporter has held %d MiB", peak>>20)
	}
	s.t.Logf("runs %v, restarts %v, at most %d MiB", runs, ran, s.peak()>>20)
}

// loopGuarded is a file of users with one, whose password is secret.
const loopGuarded = `basic_auth_users: {anna: '$2a$04$5TsBIHvfWgCIUjPea.dJQ.ATB0NmzaHlBBsqCnZa4HHqwhIpazb0a'}`

// TestAttackApprovals: without the token, with forms of other sites, with an approval of before and with guesses, other
// users try to have a proposal carried out that no person has approved, and with the token to fill the exporter
// with proposals. Harm is each that is carried out, an id that differs visibly from a guess, and more proposals than playbooks.
func TestAttackApprovals(t *testing.T) {
	s := newStage(t)
	effects := s.dir + "/effects"
	s.write(effects, "", 0)
	targets := ""
	for i := range loopTargets {
		targets += fmt.Sprintf("  - {name: p%d, mode: propose, temp_dirs: [{name: t, dir: %s, include: ['*.p%d'], max_age: 1h}], playbooks: {act: [{do: command, argv: [/bin/sh, -c, 'echo $SPILLWAY_TARGET >> %s']}]}}\n", i, s.folder(s.dir+"/t", stageService), i, effects)
	}
	s.serve(targets)
	s.proposed(s.url, "")
	ids, err := loopIDs(s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ask(http.MethodPost, "/api/v1/proposals/"+ids[0]+"/approve", `{"by":"anna"}`); err != nil {
		t.Fatal(err)
	}
	s.await(20*time.Second, "it runs", func() error {
		if n := len(s.ran(effects)); n != 1 {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	approved := s.ran(effects)
	guarded := s.guarded(strings.ReplaceAll(targets, effects, effects+".guarded"))
	attackers := []*stageAttacker{
		s.attack(stageOther, "approve", s.url), s.attack(stageOther, "approve", s.url), s.attack(stageOther, "replay", s.url, ids[0]), s.attack(stageService, "forge", guarded, "anna:secret"),
	}
	for s.lasts() {
		if waits, err := loopIDs(s.url, nil); err != nil || len(waits) > loopTargets {
			s.harmed("%d proposals wait, %v", len(waits), err)
		}
		stagePause(20 * time.Millisecond)
	}
	for _, a := range attackers {
		a.leave()
	}
	if ran := s.ran(effects); fmt.Sprint(ran) != fmt.Sprint(approved) {
		s.harmed("%v ran, and a person has approved %v", ran, approved)
	}
	if ran := s.ran(effects + ".guarded"); len(ran) != 0 {
		s.harmed("%v ran for a form of another site", ran)
	}
	if peak := s.peak(); peak > loopMost {
		s.harmed("the exporter has held %d MiB", peak>>20)
	}
	s.report("approvals")
}

// proposed has every target propose, and waits until they do.
func (s *stage) proposed(url, user string) {
	s.t.Helper()
	header := map[string]string{"Authorization": "Bearer " + stageToken}
	if user != "" {
		header = map[string]string{"Basic": user}
	}
	if code := loopAsk(http.MethodPost, url+"/api/v1/webhook", loopAlerts(loopTargets, 1), header); code != http.StatusOK {
		s.t.Fatalf("webhook: %d\n%s", code, s.exporter.out.String())
	}
	s.await(20*time.Second, "all are proposed", func() error {
		ids, err := loopIDs(url, header)
		if err == nil && len(ids) != loopTargets {
			err = fmt.Errorf("%d wait", len(ids))
		}
		return err
	})
}

// guarded starts a second exporter, whose listener asks for a password, with a proposal of each target.
func (s *stage) guarded(targets string) (url string) {
	s.t.Helper()
	s.write(s.dir+"/effects.guarded", "", 0)
	s.write(s.dir+"/web.yml", loopGuarded, 0)
	s.write(s.dir+"/guarded.yml", "mode: propose\nstandalone: false\njournal: {dir: "+s.dir+"/guarded}\ntargets:\n"+targets, 0)
	p := s.start(nil, stageBinary(s.t), "--config.file="+s.dir+"/guarded.yml", "--web.config.file="+s.dir+"/web.yml", "--web.listen-address=127.0.0.1:0")
	s.await(20*time.Second, "the second exporter is ready", func() error {
		m := stageListening.FindStringSubmatch(p.out.String())
		if m == nil {
			return errors.New(p.out.String())
		}
		url = "http://" + m[1]
		return nil
	})
	s.proposed(url, "anna:secret")
	return url
}

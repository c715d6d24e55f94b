package simulate

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// tell plays out the story of a number of days. Of each day an episode of minutes is lived through, of some two,
// with all that is due in them; between two the clock of the host jumps, as it does over a suspension.
func (w *world) tell(days int) {
	w.start()
	for range days {
		episodes := 1
		if w.happens(25) {
			episodes = 2
		}
		for range episodes {
			w.episode()
			if w.isBroken() {
				w.end()
				return
			}
			w.set(24*time.Hour/time.Duration(episodes) - w.between(0, time.Hour))
		}
	}
	if w.happens(10) {
		w.calmDown()
	}
	w.end()
}

// end ends the story with a stop.
func (w *world) end() {
	w.restart(func() { w.stopNow(20 * time.Second) })
}

// episode is some minutes in which something happens.
func (w *world) episode() {
	until := w.elapsed() + w.between(30*time.Second, 10*time.Minute)
	gap := pick(w, 2*time.Second, 10*time.Second, 40*time.Second)
	for w.elapsed() < until && !w.isBroken() {
		w.pass(w.between(time.Millisecond, 2*gap))
		w.happen()
		w.check()
	}
	if w.happens(60) {
		w.settle()
	}
}

// pass lets time pass. A process that is killed meanwhile is started again.
func (w *world) pass(d time.Duration) {
	until := w.elapsed() + d
	for left := d; left > 0; left = until - w.elapsed() {
		select {
		case <-time.After(left):
			synctest.Wait()
			return
		case <-w.crash:
			w.p.bury()
			w.restart(func() {})
		}
	}
}

// settle waits until nothing is open, for some minutes.
func (w *world) settle() {
	w.mu.Lock()
	w.disk.full = false
	w.mu.Unlock()
	for range 40 {
		w.pass(w.between(5*time.Second, 20*time.Second))
		if w.check() || w.isBroken() {
			return
		}
	}
}

// check judges the invariants, and reports whether nothing is open.
func (w *world) check() (idle bool) {
	synctest.Wait()
	if w.p.isDead() {
		return false
	}
	s := w.p.dispatcher.Status()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, check := range afterEach {
		check(w, &s)
	}
	if len(s.Open) > 0 || w.p.busy > 0 || len(w.calls) > 0 || len(w.p.book.handed) > 0 || len(w.ledger.pending) > 0 || w.disk.full {
		return false
	}
	for _, check := range whenIdle {
		check(w, &s)
	}
	clear(w.ledger.accepted)
	clear(w.ledger.executed)
	clear(w.disk.done)
	return true
}

// restart ends the process and starts the next, after some time.
func (w *world) restart(end func()) {
	end()
	w.mu.Lock()
	if w.happens(20) {
		w.config = w.newSettings()
	}
	w.mu.Unlock()
	<-time.After(w.between(time.Second, 3*time.Minute))
	if w.happens(10) {
		w.set(w.between(-3*time.Hour, 8*time.Hour))
	}
	w.start()
	synctest.Wait()
}

// stopNow is an orderly stop.
func (w *world) stopNow(limit time.Duration) {
	synctest.Wait()
	p := w.p
	open := len(p.dispatcher.Status().Open)
	took, orderly := p.stop(limit)
	w.mu.Lock()
	defer w.mu.Unlock()
	if orderly {
		stopIsBounded(w, took, limit, open)
		stopLeavesNothingOpen(w)
	}
}

// happen is one event.
func (w *world) happen() {
	w.points.Add(1)
	switch n := w.rng.IntN(100); {
	case n < 34:
		w.grow()
	case n < 44:
		w.shrink()
	case n < 68:
		w.notify()
	case n < 74:
		w.runByHand()
	case n < 76:
		w.exit()
	case n < 78:
		w.pauseOrResume()
	case n < 84:
		w.reload()
	case n < 88:
		w.set(w.between(-pick(w, time.Second, time.Minute, 2*time.Hour), pick(w, time.Second, time.Minute, 2*time.Hour)))
	case n < 94:
		w.disturb()
	case n < 97:
		w.p.bury()
		w.restart(func() {})
	default:
		w.restart(func() { w.stopNow(w.between(time.Second, 25*time.Second)) })
	}
}

func (w *world) service() *service { return w.services[pick(w, serviceNames...)] }

// grow lets something become more.
func (w *world) grow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.service()
	age := pick(w, 0, time.Second, 2*time.Minute, 3*time.Hour)
	switch w.rng.IntN(4) {
	case 0:
		s.temp.add(1+w.rng.IntN(30), 5, w.now().Add(-age))
	case 1:
		s.cache.add(1+w.rng.IntN(10), int64(1+w.rng.IntN(20)), w.now().Add(-age))
	case 2:
		s.memory = pick(w, 400.0, 600, 750, 900)
	case 3:
		s.heap = pick(w, .5, .75, .9, .97)
	}
}

// shrink lets something become less by itself, or be used or free.
func (w *world) shrink() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.service()
	switch w.rng.IntN(5) {
	case 0:
		s.temp = s.temp[len(s.temp)/2:]
	case 1:
		s.cache = s.cache[len(s.cache)/2:]
	case 2:
		s.memory, s.heap = s.memory*.8, s.heap*.8
	case 3:
		used := w.happens(50)
		for _, f := range []folder{s.temp, s.cache} {
			for i := range f {
				f[i].inUse = used && i%2 == 0
			}
		}
	case 4:
		s.blind = w.happens(50)
	}
}

// disturb makes the disk full, slow or well again.
func (w *world) disturb() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disk.full = w.happens(25)
	w.disk.slow = pick(w, usualSync, usualSync, 100*time.Millisecond, time.Second)
}

// ruleAlert is an alert that an Alertmanager knows.
type ruleAlert struct {
	alert  alert.Alert
	firing bool
}

// notify is an Alertmanager that sends some of its alerts: new ones, repeated ones, resolved ones, and
// what makes no sense.
func (w *world) notify() {
	for range 1 + w.rng.IntN(3) {
		if len(w.alerts) < 4 || w.happens(30) {
			w.alerts = append(w.alerts, w.newAlert())
		}
	}
	b := alert.Batch{Trigger: alert.TriggerWebhook, Host: "host", Receiver: "spillway"}
	for i := 0; i < len(w.alerts); i++ {
		a := w.alerts[i]
		if w.happens(25) {
			a.firing, a.alert.Status, a.alert.EndsAt = false, alert.StatusResolved, w.now()
		}
		if w.happens(60) {
			b.Alerts = append(b.Alerts, a.alert)
		}
		if !a.firing && w.happens(70) {
			w.alerts = append(w.alerts[:i:i], w.alerts[i+1:]...)
			i--
		}
	}
	if len(b.Alerts) == 0 {
		return
	}
	p := w.p
	p.request(func(ctx context.Context) {
		out, _ := p.dispatcher.Submit(ctx, b) // what is refused is sent again with the next ones
		w.answered(p, out)
	})
}

func (w *world) newAlert() *ruleAlert {
	level := pick(w, series.LevelWarning, series.LevelCritical, series.LevelEmergency)
	target := pick(w, append([]string{"nowhere"}, serviceNames...)...)
	playbook := pick(w, "relieve_memory", "relieve_memory", "relieve_heap", "trim_cache", "clean_temp", ownPlaybook, "")
	return &ruleAlert{firing: true, alert: alert.Alert{
		Status: alert.StatusFiring, StartsAt: w.now(), Fingerprint: fmt.Sprintf("%016x", w.rng.Uint64()),
		Labels: map[string]string{alert.LabelName: "Sent", alert.LabelTarget: target, alert.LabelPlaybook: playbook, alert.LabelLevel: level.String()},
	}}
}

// runByHand is a person.
func (w *world) runByHand() {
	req := dispatch.ManualRequest{Target: pick(w, serviceNames...), Playbook: pick(w, "relieve_memory", "clean_temp", "trim_cache", ownPlaybook)}
	if w.happens(30) {
		req.Playbook, req.Action = "", pick(w, action.NameEvictCache, action.NameCollectGarbage)
	}
	if w.happens(30) {
		dry := w.happens(60)
		req.DryRun = &dry
	}
	w.runNow(req)
}

// exit is the end of the last process of a target.
func (w *world) exit() {
	w.runNow(dispatch.ManualRequest{Target: pick(w, serviceNames...), Playbook: dispatch.PlaybookOnExit, Trigger: alert.TriggerExit})
}

func (w *world) runNow(req dispatch.ManualRequest) {
	p := w.p
	p.request(func(ctx context.Context) {
		id, err := p.dispatcher.RunNow(ctx, req)
		p.say("run", id)
		if err == nil {
			w.promised(p, id)
		}
	})
}

// reload exchanges the configuration.
func (w *world) reload() {
	s := w.newSettings()
	w.mu.Lock()
	w.trace("reload", s.String())
	w.ledger.forget(w.now())
	w.config, w.ledger.guards.fresh = s, w.elapsed()
	w.mu.Unlock()
	w.p.dispatcher.Apply(s.of(w.p))
	if w.p.evaluator != nil {
		w.p.evaluator.SetRules(w.rules[s.interval])
	}
	w.p.schedule.Apply(s.policies)
}

// calmDown lets everything work, and expects that what is over its limit is relieved.
func (w *world) calmDown() {
	w.mu.Lock()
	w.gentle, w.disk.full, w.disk.slow = true, false, usualSync
	for _, s := range w.services {
		s.blind = false
		for i := range s.temp {
			s.temp[i] = file{size: 5, born: w.now().Add(-2 * minAge)}
		}
	}
	w.mu.Unlock()
	w.resumeAll()
	begin := w.elapsed()
	for w.elapsed() < begin+2*time.Hour+5*time.Minute && !w.isBroken() {
		w.pass(w.between(time.Minute, 3*time.Minute))
		w.check()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	relieved(w)
}

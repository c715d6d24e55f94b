package dispatch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// sends returns a check of what is answered to an alert of an instance that is sent to host.
func sends(t *testing.T, w *world) func(instance, host, want string) {
	return func(instance, host, want string) {
		t.Helper()
		a := w.firing("svc", "", warning) // it requests nothing, so that ours is no_playbook
		a.Labels[alert.LabelInstance] = instance
		out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Host: host, Alerts: []alert.Alert{a}})
		if got := out[0].Disposition; got != want || errors.Is(err, ErrInstance) != (want == alert.Refused) {
			t.Errorf("instance %q by host %q: %s, %v, want %s", instance, host, got, err, want)
		}
	}
}

// TestInstanceIsLearned: every name that was proved holds, and none is pushed out.
func TestInstanceIsLearned(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		f := sends(t, w)
		const static = "10.0.0.1:10042"
		f("web-1:10042", static, alert.Refused) // whose it is is not known yet
		f("", static, alert.NoPlaybook)
		f("web-1:10042", "WEB-1:10042", alert.NoPlaybook) // by the templated URL
		f("web-1:10042", static, alert.NoPlaybook)
		f("web-2:10042", static, alert.NotOurs)
		w.d.LearnHost("Web-2:10042")
		for i := range 100 {
			w.d.LearnHost(fmt.Sprintf("web-%d:10042", i+3))
		}
		f("web-1:10042", static, alert.NoPlaybook)
		f("web-2:10042", static, alert.NoPlaybook)
		f("web-102:10042", static, alert.NotOurs)
		f("web-102:10042", "web-102:10042", alert.NoPlaybook)
		w.d.SetInstance("web-3:10042", false) // configured: nothing else counts
		f("web-3:10042", "anything", alert.NoPlaybook)
		f("web-1:10042", "web-1:10042", alert.Refused) // it was ours
		f("web-999:10042", "web-999:10042", alert.NotOurs)
		w.d.SetInstance("", false)
		f("web-3:10042", static, alert.Refused)
		f("web-3:10042", "web-3:10042", alert.NoPlaybook)
	})
}

// TestInstanceIsPinned: the first name that is proved stays the only one, apart from those of loopback.
func TestInstanceIsPinned(t *testing.T) {
	bubble(t, Options{PinInstance: true}, func(t *testing.T, w *world) {
		f := sends(t, w)
		w.d.LearnHost("localhost:10042") // a person with the token
		f("web-1:10042", "10.0.0.1:10042", alert.Refused)
		w.d.LearnHost("web-1:10042")
		f("web-1:10042", "10.0.0.1:10042", alert.NoPlaybook)
		f("localhost:10042", "10.0.0.1:10042", alert.NoPlaybook)
		f("127.0.0.1:10042", "127.0.0.1:10042", alert.NoPlaybook)
		f("web-2:10042", "10.0.0.1:10042", alert.NotOurs)
		f("web-2:10042", "web-2:10042", alert.Refused) // addressed to us by another name
		f("web-2:10042", "10.0.0.1:10042", alert.Refused)
		f("web-1:10042", "web-1:10042", alert.NoPlaybook)
		if n := strings.Count(w.log.String(), "called by a second name"); n != 1 {
			t.Errorf("the second name is logged %d times", n)
		}
		w.d.SetInstance("", true) // a reload: the address may be another one now
		f("web-1:10042", "10.0.0.1:10042", alert.Refused)
		f("web-2:10042", "web-2:10042", alert.NoPlaybook)
		f("web-1:10042", "web-1:10042", alert.Refused)
		if got := w.counter("spillway_action_skips_total", map[string]string{"reason": SkipInstance}); got != 5 {
			t.Errorf("%v skips are counted, want 5", got)
		}
	})
}

// TestNamesOutliveRestart: a name that was known is refused for now, not as another's.
func TestNamesOutliveRestart(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.d.LearnHost("web-1:10042")
		synctest.Wait()
		w.end()
		w.start(Options{PinInstance: true})
		f := sends(t, w)
		w.d.LearnHost("web-9:10042")
		f("web-1:10042", "10.0.0.1:10042", alert.Refused)
		f("web-2:10042", "10.0.0.1:10042", alert.NotOurs)
	})
}

// TestNamesAreBounded: what is not a name is not learned, and former ones are forgotten in turn.
func TestNamesAreBounded(t *testing.T) {
	n := names{log: slog.New(slog.DiscardHandler)}
	for _, name := range []string{"A:10042", "b:80", "a:10042", "", strings.Repeat("x", 400)} {
		n.learn(name)
	}
	if got := n.identity("").known; !slices.Equal(got, []string{"a:10042", "b"}) {
		t.Errorf("learned %q", got)
	}
	for i := range 100 {
		n.set(fmt.Sprintf("web-%d", i), false)
	}
	got := n.identity("c")
	if !slices.Equal(got.known, []string{"web-99"}) || len(got.former) != maxNames || got.former[maxNames-1] != "web-98" {
		t.Errorf("%+v", got)
	}
}

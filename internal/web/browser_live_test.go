//go:build e2e

package web

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestBrowserReading reads values from a chart with the keyboard: one stop, then the arrow keys; and with the pointer.
func TestBrowserReading(t *testing.T) {
	w := newWorld()
	w.allStates()
	p := open(browser(t), t, serve(t, w)+"/target/orchestrator", look(1240, "light")...)
	const tip = `(() => { const e = [...document.querySelectorAll("#chart-memory .tip")].find(e => getComputedStyle(e).clipPath == "none"); return e ? e.innerText : ""; })()`
	var first, second, pointed string
	p.run(chromedp.Evaluate(`document.querySelector("#chart-memory input").focus()`, nil), chromedp.KeyEvent(kb.ArrowRight), chromedp.Evaluate(tip, &first),
		chromedp.KeyEvent(kb.ArrowRight), chromedp.Evaluate(tip, &second))
	if !strings.Contains(first, "MiB, ") || !strings.Contains(second, "MiB, ") || first == second {
		t.Errorf("the arrow keys read %q and then %q", first, second)
	}
	p.run(chromedp.Evaluate(`document.activeElement.blur()`, nil), chromedp.ScrollIntoView("#chart-memory"), chromedp.ActionFunc(func(ctx context.Context) error {
		var at []float64
		if err := chromedp.Evaluate(`(() => { const r = document.querySelector("#chart-memory label:last-of-type").getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, &at).Do(ctx); err != nil {
			return err
		}
		return chromedp.MouseEvent(input.MouseMoved, at[0], at[1]).Do(ctx)
	}), chromedp.Evaluate(tip, &pointed))
	if !strings.Contains(pointed, "MiB, 8") {
		t.Errorf("the pointer at the newest value reads %q", pointed)
	}
	p.quiet()
}

// TestBrowserLive changes levels behind an open page. Without a reload the page must show them, in their new
// order, and keep the very elements that hold the focus and the selection, what was typed and what was opened;
// and say that it lost its server when that goes.
func TestBrowserLive(t *testing.T) {
	w := newWorld()
	w.observe(fake{name: "app", limit: 512 * mib, ratios: flat(.41), processes: 2}, fake{name: "other", limit: 512 * mib, ratios: flat(.5), processes: 2}, fake{name: "third", limit: 512 * mib, ratios: flat(.6), processes: 2})
	w.state.Rules = []Rule{{Group: "g", Name: "OwnRule", State: "inactive"}}
	s := httptest.NewServer(w.handler())
	defer func() { s.CloseClientConnections(); s.Close() }()
	p := open(browser(t), t, s.URL+"/", look(1240, "light")...)
	const order = `[...document.querySelectorAll(".targets tbody tr:not(.x) th a")].map(e => e.innerText).join(" ")`
	var before, after string
	p.run(chromedp.Poll(`document.getElementById("live").textContent == "live"`, nil), chromedp.Click("#rules summary"), chromedp.SendKeys("#f-q", "typed"),
		chromedp.Evaluate(order, &before),
		chromedp.Evaluate(`(() => { const a = document.querySelector("#t-app a"); a.focus(); window.focused = a; window.row = a.closest("tr");
			window.chosen = document.querySelector("#t-third th a"); getSelection().selectAllChildren(window.chosen); })()`, nil))
	if before != "third other app" {
		t.Errorf("before: %s", before)
	}
	w.change(func() {
		w.now = w.now.Add(5 * time.Second)
		var b series.Batch
		b.Reset(w.now)
		for name, used := range map[string]float64{"app": 420, "other": 300, "third": 500} {
			b.Set(metric.Processes, 2, name)
			b.Set(metric.MemoryUsed, used*mib, name)
			b.Set(metric.MemoryLimit, 512*mib, name)
			b.Set(metric.MemoryUsedRatio, used/512, name)
		}
		b.Set(metric.MemoryLevel, float64(series.LevelWarning), "app")
		b.Set(metric.MemoryLevel, 0, "other")
		b.Set(metric.MemoryLevel, float64(series.LevelEmergency), "third")
		w.store.Commit(&b)
	})
	var got struct {
		Focus, Row, Open bool
		Selected, Typed  string
		Title            string
	}
	p.run(chromedp.Poll(`document.querySelector("#t-app .lv").innerText == "warning" && document.querySelector("#t-third .lv").innerText == "emergency"`, nil), chromedp.Evaluate(order, &after),
		chromedp.Evaluate(`({Focus: document.activeElement === window.focused && window.focused.isConnected, Row: document.getElementById("t-app") === window.row, Open: document.querySelector("#rules").open,
			Selected: getSelection().toString(), Typed: document.getElementById("f-q").value, Title: document.title})`, &got))
	if !got.Focus || !got.Row || !got.Open || got.Selected != "third" || got.Typed != "typed" || !strings.HasPrefix(got.Title, "2 of 3 targets need attention") {
		t.Errorf("after the update: %+v", got)
	}
	if after != "third app other" {
		t.Errorf("the order afterwards is %s", after)
	}
	p.quiet()
	s.CloseClientConnections()
	s.Listener.Close()
	p.run(chromedp.Poll(`document.getElementById("live").textContent == "connection lost"`, nil))
}

// TestBrowserLiveChart: the value that a reader has open in a chart stays while others change.
func TestBrowserLiveChart(t *testing.T) {
	w := newWorld()
	w.observe(fake{name: "app", limit: 512 * mib, ratios: flat(.41), processes: 2})
	p := open(browser(t), t, serve(t, w)+"/target/app", look(1240, "light")...)
	const tip = `document.activeElement.parentNode.querySelector(".tip").innerText`
	var before, after string
	var same bool
	p.run(chromedp.Poll(`document.getElementById("live").textContent == "live"`, nil),
		chromedp.Evaluate(`document.querySelector("#chart-memory label:last-of-type input").focus()`, nil), chromedp.KeyEvent(" "), chromedp.Evaluate(tip, &before), chromedp.Evaluate(`window.node = document.activeElement; 0`, nil))
	w.change(func() {
		w.now = w.now.Add(time.Minute)
		var b series.Batch
		b.Reset(w.now)
		b.Set(metric.Processes, 2, "app")
		b.Set(metric.MemoryUsed, 500*mib, "app")
		b.Set(metric.MemoryLimit, 512*mib, "app")
		b.Set(metric.MemoryUsedRatio, 500.0/512, "app")
		b.Set(metric.MemoryLevel, float64(series.LevelEmergency), "app")
		w.store.Commit(&b)
	})
	p.run(chromedp.Poll(`document.querySelector(".title .lv").innerText.startsWith("emergency")`, nil), chromedp.Evaluate(tip, &after), chromedp.Evaluate(`document.activeElement === window.node`, &same))
	if before == "" || before != after || !same {
		t.Errorf("the open value changed from %q to %q, the same element: %v", before, after, same)
	}
	p.quiet()
}

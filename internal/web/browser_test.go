//go:build e2e

package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// browser starts Chromium once for a test and returns a function that opens tabs.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: run .ci/install")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// tab is one open page with what it complained about.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func open(parent context.Context, t *testing.T, url string, before ...chromedp.Action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	ctx, cancelTime := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancelTime)
	p := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, p.listen)
	p.run(append(append([]chromedp.Action{log.Enable()}, before...), chromedp.Navigate(url), chromedp.WaitVisible("main"))...)
	return p
}

// listen keeps whatever a person would find in red in the console: errors, exceptions, and what
// the Content-Security-Policy refused.
func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			p.complaints = append(p.complaints, fmt.Sprint(e.Args))
		}
	}
}

func (p *tab) run(actions ...chromedp.Action) {
	p.t.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// take runs actions on a part of the page, again when the page has exchanged it meanwhile: its live
// update puts new elements in place of the old ones.
func (p *tab) take(actions ...chromedp.Action) {
	p.t.Helper()
	var err error
	for range 10 {
		if err = chromedp.Run(p.ctx, actions...); err == nil || !strings.Contains(err.Error(), "No node with given id") {
			break
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// textOf is the text of the first part that a selector names, read in one step: an element that a
// live update takes away between two has none.
func (p *tab) textOf(selector string) (text string) {
	p.t.Helper()
	p.run(chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q).innerText", selector), &text))
	return text
}

// text is what a person reads, as the browser lays it out.
func (p *tab) text() string {
	p.t.Helper()
	var s string
	p.run(chromedp.Evaluate(`document.body.innerText`, &s))
	return s
}

func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		p.t.Errorf("the browser complains: %s", c)
	}
}

func serve(t *testing.T, w *world) string {
	t.Helper()
	s := httptest.NewServer(w.handler())
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// views are the sizes and colours that the page is looked at in.
var views = []struct {
	name   string
	width  int64
	scheme string
}{{"light", 1240, "light"}, {"dark", 1240, "dark"}, {"phone", 360, "light"}}

func look(width int64, scheme string) []chromedp.Action {
	return []chromedp.Action{
		emulation.SetDeviceMetricsOverride(width, 1080, 1, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
	}
}

// TestBrowser looks at every state of the page in Chromium: what a person reads, that nothing
// runs over the side of a phone, that nothing is red in the console, that nothing breaks the
// policy, and that axe-core finds no barrier.
func TestBrowser(t *testing.T) {
	b := browser(t)
	tests := []struct {
		name  string
		path  string
		setup func(w *world)
		want  []string
	}{
		{"all", "/", func(*world) {}, []string{
			"7 targets", "1 down", "1 emergency", "2 firing, 1 pending", "88.2%", "903MiB of 1GiB", "down", "dry run", "enforce",
			"1204 of 1000 entries", "87.4% hits", "655 of 100 files, 592 empty, 592 due", "ineffective", "left: 3 in_use, 11 too_young", "running", "interrupted",
			"What cannot be read", "connection refused", "Remove 592 empty files in tts: frees 592 inodes", "5 rules, 2 firing, 1 pending, 1 failing", "2 providers, 1 failing",
			"warning 717MiB · critical 870MiB · emergency 973MiB", "Full in", "Configuration: /etc/spillway/spillway.yml, loaded 3.0 h ago",
		}},
		{"target", "/target/orchestrator", func(*world) {}, []string{"orchestrator", "relieve_memory", "evict_cache", "88.2%", "← All targets"}},
		{"troubles", "/", func(w *world) {
			w.state.ReloadError, w.state.Journal = "spillway.yml:3: <b>unknown key</b> \"intervall\"", "The journal cannot be written: nothing is removed"
		}, []string{"The configuration was not loaded", "<b>unknown key</b>", "The journal cannot be written", "the last reload was refused"}},
		{"stale", "/", func(w *world) { w.now = w.now.Add(time.Hour) }, []string{"Nothing fresh", "stale", "The newest value below is of 60 min ago", "spillway_source_success"}},
		{"empty", "/", func(w *world) { w.store, w.state, w.records = newWorld().store, State{}, nil }, []string{"0 targets", "No target has been sampled yet", "Nothing has been done yet"}},
	}
	for _, tt := range tests {
		w := newWorld()
		w.allStates()
		tt.setup(w)
		url := serve(t, w) + tt.path
		for _, v := range views {
			t.Run(tt.name+"/"+v.name, func(t *testing.T) {
				p := open(b, t, url, look(v.width, v.scheme)...)
				text := strings.ReplaceAll(p.text(), "\u00a0", " ")
				for _, want := range tt.want {
					if !strings.Contains(text, want) {
						t.Errorf("a person does not read %q", want)
					}
				}
				var wide float64
				p.run(chromedp.Evaluate(`document.documentElement.scrollWidth - innerWidth`, &wide))
				if wide > 0 {
					t.Errorf("the page is %v pixels wider than the window", wide)
				}
				p.accessible()
				p.quiet()
				p.screenshot(tt.name + "-" + v.name)
				if t.Failed() {
					t.Log(text)
				}
			})
		}
	}
}

// TestBrowserStates takes one picture of each state, for docs/page.md, of what a person looks at then.
func TestBrowserStates(t *testing.T) {
	b := browser(t)
	tests := []struct {
		name, path, part string // part is what is taken, as a selector
		setup            func(w *world)
		want             string
	}{
		{"normal", "/target/gateway", ".card", nil, "normal"},
		{"warning", "/target/uploader", ".card", nil, "Memory is at 74.4% (warning)"},
		{"critical", "/target/orchestrator", ".card", nil, "Memory is at 88.2% (critical)"},
		{"emergency", "/target/renderer", ".card", nil, "Memory is at 96.4% (emergency)"},
		{"down", "/target/worker", ".card", nil, "No process of worker is running"},
		{"stale", "/target/gateway", "main", func(w *world) { w.now, w.records = w.now.Add(time.Hour), nil }, "Nothing fresh"},
		{"dry-run", "/target/uploader", "table.actions", nil, "dry run"},
		{"ineffective", "/target/orchestrator", "table.actions", nil, "ineffective"},
		{"reload-failed", "/", ".notice", func(w *world) {
			w.state.ReloadError = `/etc/spillway/spillway.yml:3: sample_intervall: unknown key: did you mean "sample_interval"?`
		}, "The configuration was not loaded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.allStates()
			if tt.setup != nil {
				tt.setup(w)
			}
			width := int64(900)
			if tt.part == "table.actions" {
				width = 1240
			}
			p := open(b, t, serve(t, w)+tt.path, look(width, "light")...)
			var text string
			var png []byte
			text = p.textOf(tt.part)
			p.take(chromedp.Screenshot(tt.part, &png, chromedp.ByQuery))
			if !strings.Contains(strings.ReplaceAll(text, "\u00a0", " "), tt.want) {
				t.Errorf("a person does not read %q in %q", tt.want, text)
			}
			p.quiet()
			if dir := os.Getenv("SPILLWAY_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, "state-"+tt.name+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestBrowserKeyboard goes through the page with the tab key alone: past the header by the first
// link, to the targets, and every stop can be seen.
func TestBrowserKeyboard(t *testing.T) {
	w := newWorld()
	w.allStates()
	p := open(browser(t), t, serve(t, w)+"/", look(360, "light")...)
	stop := func() (text string, seen bool) {
		t.Helper()
		var got struct {
			Text string
			Seen bool
		}
		p.run(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`(() => { const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e);
			return {Text: e.getAttribute("aria-label") || e.innerText.trim(), Seen: r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.top < innerHeight && s.outlineStyle != "none"}; })()`, &got))
		return got.Text, got.Seen
	}
	if text, _ := stop(); text != "Skip to the targets" {
		t.Errorf("the first stop is %q", text)
	}
	p.run(chromedp.KeyEvent(kb.Enter))
	var stops []string
	for range 11 {
		text, seen := stop()
		stops = append(stops, text)
		if !seen {
			t.Errorf("the stop at %q cannot be seen", text)
		}
	}
	want := []string{"worker", "renderer", "orchestrator", "uploader", "host", "gateway", "thumbnails", "Open runs, a wide table", "The last actions, a wide table", "2 providers, 1 failing", "5 rules, 2 firing, 1 pending, 1 failing"}
	if !slices.Equal(stops, want) {
		t.Errorf("the tab key stops at %q, want %q", stops, want)
	}
}

// accessible runs axe-core on the page: contrast, labels, roles, headings.
func (p *tab) accessible() {
	p.t.Helper()
	script, err := os.ReadFile(axe(p.t))
	if err != nil {
		p.t.Fatalf("%v: run .ci/install", err)
	}
	var raw string
	p.run(
		chromedp.Evaluate(string(script), nil),
		chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 150) + " " + n.failureSummary).join("; "))))`, &raw,
			func(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }),
	)
	var violations []string
	if err := json.Unmarshal([]byte(raw), &violations); err != nil {
		p.t.Fatalf("axe-core answered %q: %v", raw, err)
	}
	for _, v := range violations {
		p.t.Errorf("barrier: %s", v)
	}
}

// axe is where .ci/install puts axe-core.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "spillway", "node_modules", "axe-core", "axe.min.js")
}

// screenshot writes the first screen and the whole page where SPILLWAY_SCREENSHOTS says.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	dir := os.Getenv("SPILLWAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	var top, whole []byte
	p.run(chromedp.CaptureScreenshot(&top), chromedp.FullScreenshot(&whole, 100))
	for file, png := range map[string][]byte{"page-" + name + ".png": whole, "page-" + name + "-top.png": top} {
		if err := os.WriteFile(filepath.Join(dir, file), png, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestBrowserLive changes a level behind an open page; without a reload the page must show it,
// keep what the reader opened, and say that it lost its server when that goes.
func TestBrowserLive(t *testing.T) {
	w := newWorld()
	w.observe(fake{name: "app", limit: 512 * mib, ratios: flat(.41), processes: 2})
	w.state.Rules = []Rule{{Group: "g", Name: "OwnRule", State: "inactive"}}
	s := httptest.NewServer(w.handler())
	defer func() { s.CloseClientConnections(); s.Close() }()
	p := open(browser(t), t, s.URL+"/", look(1240, "light")...)
	const focus = `document.activeElement.tagName + " " + document.activeElement.innerText.trim()`
	var at, then string
	p.run(chromedp.Poll(`document.getElementById("live").textContent.includes("live")`, nil), chromedp.Click("summary"), chromedp.Focus("summary"), chromedp.Evaluate(focus, &at))
	before := p.textOf(".card .level")
	if before != "normal" {
		t.Errorf("before: %s", before)
	}
	w.change(func() {
		w.now = w.now.Add(5 * time.Second)
		var b series.Batch
		b.Reset(w.now)
		b.Set(metric.Processes, 2, "app")
		b.Set(metric.MemoryUsed, 500*mib, "app")
		b.Set(metric.MemoryLimit, 512*mib, "app")
		b.Set(metric.MemoryUsedRatio, 500.0/512, "app")
		b.Set(metric.MemoryLevel, float64(series.LevelEmergency), "app")
		w.store.Commit(&b)
	})
	p.run(chromedp.Poll(`document.querySelector(".card .level").textContent == "emergency"`, nil))
	var opened bool
	p.run(chromedp.Evaluate(`document.querySelector("details").open`, &opened), chromedp.Evaluate(focus, &then))
	if then != at || strings.HasPrefix(then, "BODY") {
		t.Errorf("the update moved the keyboard from %q to %q", at, then)
	}
	if !opened {
		t.Error("what the reader opened was closed by the update")
	}
	p.quiet()
	s.CloseClientConnections()
	s.Listener.Close()
	p.run(chromedp.Poll(`document.getElementById("live").textContent.includes("connection lost")`, nil))
}

// TestBrowserWithoutScript reads the page where scripts do not run.
func TestBrowserWithoutScript(t *testing.T) {
	w := newWorld()
	w.allStates()
	ctx := browser(t)
	p := open(ctx, t, serve(t, w)+"/", emulation.SetScriptExecutionDisabled(true))
	text := p.textOf("main")
	if !strings.Contains(text, "88.2%") || !strings.Contains(text, "relieve_memory") {
		t.Errorf("without scripts a person reads %q", text)
	}
}

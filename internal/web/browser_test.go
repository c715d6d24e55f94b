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

	"github.com/spillway-exporter/spillway_exporter/internal/picture"
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
			"4 of 7 targets need attention", "1 down", "1 emergency", "2 firing, 1 pending", "88.2%", "903MiB of 1GiB", "down", "dry run", "enforce", "Dry run: 2 of 7 targets",
			"media 120.4%", "tts 655%", "tts at 655% of its files", "heap at 91.0%", "ineffective", "skipped: 3 in_use, 11 too_young", "running", "interrupted",
			"What cannot be read", "connection refused", "5 rules, 2 firing, 1 pending, 1 failing", "2 providers, 1 failing", "relieve_memory is cooling down until",
			"Configuration: /etc/spillway/spillway.yml, loaded 3.0 h ago", "spillway_exporter check", "runbook",
		}},
		{"target", "/target/orchestrator", func(*world) {}, []string{
			"orchestrator", "relieve_memory", "evict_cache", "88.2%", "All targets", "1204 of 1000 entries", "87.4% hits", "655 of 100 files, 592 empty, 592 due", "not kept",
			"Remove 592 empty files in tts: frees 592 inodes", "spillway_exporter cleanup --dry-run --files --target orchestrator --policy tts", "warning 717MiB", "14 days",
		}},
		{"days", "/target/orchestrator?range=14d", func(w *world) { w.fortnight() }, []string{"orchestrator", "14 days", "new build", "warning 717MiB"}},
		{"troubles", "/", func(w *world) {
			w.state.ReloadError, w.state.Journal = "spillway.yml:3: <b>unknown key</b> \"intervall\"", "The journal cannot be written: nothing is removed"
		}, []string{"The configuration was not loaded", "<b>unknown key</b>", "The journal cannot be written", "the last reload was refused"}},
		{"stale", "/", func(w *world) { w.now = w.now.Add(time.Hour) }, []string{"No current data", "no data since", "The newest value was read 60 min ago", "spillway_source_success"}},
		{"empty", "/", func(w *world) { w.store, w.state, w.records = newWorld().store, State{}, nil }, []string{"0 targets", "No target has been sampled yet", "Nothing has been done yet"}},
		{"journal", "/journal", func(*world) {}, []string{"Journal", "relieve_memory", "interrupted"}},
		{"api", "/api/v1/", func(*world) {}, []string{"/health/memory", "/api/v1/runs"}},
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
		{"normal", "/?q=gateway&expand=1", ".targets", nil, "normal"},
		{"warning", "/?q=uploader&expand=1", ".targets", nil, "Memory is at 74.4% (warning)"},
		{"critical", "/?q=orchestrator&expand=1", ".targets", nil, "Memory is at 88.2% (critical)"},
		{"emergency", "/?q=renderer&expand=1", ".targets", nil, "Memory is at 96.4% (emergency)"},
		{"down", "/?q=worker&expand=1", ".targets", nil, "No process of worker is running"},
		{"stale", "/", ".notice", func(w *world) { w.now, w.records = w.now.Add(time.Hour), nil }, "No current data"},
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
			p := open(b, t, serve(t, w)+tt.path, look(1240, "light")...)
			var text string
			var shot []byte
			text = p.textOf(tt.part)
			p.take(chromedp.Screenshot(tt.part, &shot, chromedp.ByQuery))
			if !strings.Contains(strings.ReplaceAll(text, "\u00a0", " "), tt.want) {
				t.Errorf("a person does not read %q in %q", tt.want, text)
			}
			p.quiet()
			if dir := os.Getenv("SPILLWAY_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, "state-"+tt.name+".png"), smaller(t, shot), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestBrowserKeyboard goes through the page with the tab key alone: past the header by the first
// link, to the alerts, the filter and the targets, and every stop can be seen.
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
			return {Text: e.getAttribute("aria-label") || e.innerText.trim() || e.id || e.type, Seen: r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.top < innerHeight && s.outlineStyle != "none"}; })()`, &got))
		return got.Text, got.Seen
	}
	goes := func(want ...string) {
		t.Helper()
		var stops []string
		for range want {
			text, seen := stop()
			stops = append(stops, text)
			if !seen {
				t.Errorf("the stop at %q cannot be seen", text)
			}
		}
		if !slices.Equal(stops, want) {
			t.Errorf("the tab key stops at %q, want %q", stops, want)
		}
	}
	if text, _ := stop(); text != "Skip to what needs attention" {
		t.Errorf("the first stop is %q", text)
	}
	p.run(chromedp.KeyEvent(kb.Enter))
	goes("renderer", "runbook", "orchestrator")
	p.run(chromedp.Evaluate(`document.querySelectorAll(".skip")[1].focus()`, nil), chromedp.KeyEvent(kb.Enter))
	goes("all 7", "1 down", "1 emergency", "1 critical", "1 warning", "3 normal", "f-q")
	p.run(chromedp.Evaluate(`document.querySelector("#t-worker a").focus()`, nil))
	goes("renderer", "radio")
}

// TestBrowserFleet looks at 1, 12 and 200 targets.
func TestBrowserFleet(t *testing.T) {
	b := browser(t)
	for _, n := range []int{1, 12, 200} {
		w := newWorld()
		w.fleet(n)
		url := serve(t, w) + "/"
		for _, v := range views {
			t.Run(fmt.Sprint(n, "/", v.name), func(t *testing.T) {
				p := open(b, t, url, look(v.width, v.scheme)...)
				var rows, wide float64
				p.run(chromedp.Evaluate(`document.querySelectorAll(".targets tbody tr:not(.x)").length`, &rows), chromedp.Evaluate(`document.documentElement.scrollWidth - innerWidth`, &wide))
				if int(rows) != n || wide > 0 {
					t.Errorf("%v targets are shown, the page is %v pixels too wide", rows, wide)
				}
				if n < 200 || v.name == "light" {
					p.accessible()
				}
				p.quiet()
				p.screenshot(fmt.Sprintf("%d-%s", n, v.name))
			})
		}
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
	for file, raw := range map[string][]byte{"page-" + name + ".png": whole, "page-" + name + "-top.png": top} {
		if err := os.WriteFile(filepath.Join(dir, file), smaller(p.t, raw), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}

func smaller(t *testing.T, raw []byte) []byte {
	t.Helper()
	out, err := picture.Small(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
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

//go:build e2e

package e2e

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cleaned is what one policy of a clean-up reports.
type cleaned struct {
	Policy, Outcome, Entry, Error string
	Files, Entries, Scanned       int64
	Skipped                       map[string]int64
}

// cleanup runs the command on a target's policies, in YAML, dry and then for real. Both have to agree.
func cleanup(t *testing.T, policies string) (results map[string]cleaned, named string) {
	t.Helper()
	state := testDir(t)
	file := filepath.Join(state, "spillway.yml")
	if err := os.WriteFile(file, []byte("journal: {dir: "+state+"/journal}\ntargets:\n  - name: app\n"+policies), 0o600); err != nil {
		t.Fatal(err)
	}
	var planned string
	for _, mode := range []string{"--dry-run", "--enforce"} {
		cmd := exec.Command(binary(t), "cleanup", mode, "--files", "--json", "--config.file="+file)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		results = make(map[string]cleaned)
		for d := json.NewDecoder(strings.NewReader(out.String())); d.More(); {
			var r cleaned
			if err := d.Decode(&r); err != nil {
				t.Fatalf("%v: %s%s", err, out.String(), errs.String())
			}
			results[r.Policy] = r
		}
		var lines []string
		for line := range strings.Lines(errs.String()) {
			if strings.Contains(line, "\t") {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		if named = strings.Join(lines, ""); mode == "--dry-run" {
			planned = named
		}
	}
	if planned != named {
		t.Errorf("the plan named\n%s\nand the run\n%s", planned, named)
	}
	return results, named
}

// backdate sets the times of all that is in a folder, and of the folder.
func backdate(t *testing.T, dir string, age time.Duration) {
	t.Helper()
	when := time.Now().Add(-age)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink == 0 {
			err = os.Chtimes(path, when, when)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // the program that it belongs to is alive
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// chromiumProfile starts a Chromium with its profile in dir and returns its address for tools.
func chromiumProfile(t *testing.T, dir string) (p *process, tools string) {
	t.Helper()
	p = start(t, nil, need(t, "chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
		"--disable-component-update", "--user-data-dir="+dir, "about:blank")
	eventually(t, time.Minute, "Chromium listens", func() error {
		_, rest, found := strings.Cut(p.out.String(), "DevTools listening on ws://")
		if !found || !strings.Contains(rest, "/") {
			return errors.New(p.out.String())
		}
		tools, _, _ = strings.Cut(rest, "/")
		return nil
	})
	return p, "http://" + tools + "/json/version"
}

// TestBrowserProfiles: the profile of a browser that was killed goes as a whole, and that of one which
// runs stays as a whole, however old its files are.
func TestBrowserProfiles(t *testing.T) {
	dir := testDir(t)
	_, tools := chromiumProfile(t, dir+"/live")
	killed, _ := chromiumProfile(t, dir+"/killed")
	killed.kill()
	eventually(t, 30*time.Second, "all processes of the killed browser have ended", func() error {
		out, _ := exec.Command("pgrep", "-f", "user-data-dir="+dir+"/killed").Output()
		if len(out) > 0 {
			return errors.New(string(out))
		}
		return nil
	})
	if err := os.WriteFile(dir+"/notes.txt", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	backdate(t, dir, 48*time.Hour)
	before := countFiles(t, dir+"/live")
	results, named := cleanup(t, fmt.Sprintf("    temp_dirs: [{name: profiles, dir: %s, include: ['*'], entry: dir, age_by: mtime, max_age: 1d}]\n", dir))
	r := results["profiles"]
	if r.Entries != 1 || r.Entry != "dir" || r.Files < 5 || r.Skipped["above_depth"] != 1 || !strings.HasPrefix(named, "expired\t"+dir+"/killed\t") {
		t.Errorf("%+v, named %q", r, named)
	}
	if _, err := os.Stat(dir + "/killed"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the profile of the killed browser: %v", err)
	}
	if after := countFiles(t, dir+"/live"); after < before-2 { // it removes files of its own now and then
		t.Errorf("the live profile had %d files and has %d", before, after)
	}
	resp, err := http.Get(tools)
	if err != nil {
		t.Fatalf("the live browser: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the live browser answers %s", resp.Status)
	}
}

// TestCcache: after an eviction by last use the results that were used lately are hits, the others are made
// again, and ccache finds nothing wrong.
func TestCcache(t *testing.T) {
	ccache, work := need(t, "ccache"), testDir(t)
	cache := work + "/ccache"
	env := []string{"CCACHE_DIR=" + cache, "CCACHE_NODIRECT=1"}
	compile := func(i int) {
		t.Helper()
		source := fmt.Sprintf("%s/f%d.c", work, i)
		if err := os.WriteFile(source, fmt.Appendf(nil, "int f%d(int x) { return x * %d; }\n", i, i), 0o644); err != nil {
			t.Fatal(err)
		}
		command(t, work, env, ccache, need(t, "gcc"), "-c", source, "-o", fmt.Sprintf("%s/f%d.o", work, i))
	}
	for i := range 10 {
		compile(i)
	}
	backdate(t, cache, 72*time.Hour)
	for i := range 4 {
		compile(i) // a hit, which sets the times of its result
	}
	results, named := cleanup(t, fmt.Sprintf("    caches: [{name: ccache, dir: %s, include: ['*R'], age_by: mtime, max_entries: 5, evict_to: 80%%, keep_newest: 2}]\n", cache))
	if r := results["ccache"]; r.Scanned != 10 || r.Files != 6 || r.Outcome == "failed" {
		t.Fatalf("%+v\n%s", r, named)
	}
	command(t, work, env, ccache, "--zero-stats")
	for i := range 10 {
		compile(i)
	}
	stats := command(t, work, env, ccache, "--print-stats")
	for _, want := range []string{"preprocessed_cache_hit\t4", "cache_miss\t6", "internal_error\t0", "missing_cache_file\t0"} {
		if !strings.Contains(stats, want) {
			t.Errorf("no %q in\n%s", want, stats)
		}
	}
	command(t, work, env, ccache, "--cleanup")
}

// registry serves packages of npm, and counts how often each archive was fetched.
func registry(t *testing.T, archives map[string][]byte) (url string, fetched func(name string) int) {
	t.Helper()
	var mu sync.Mutex
	counts := make(map[string]int)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/-/")
		archive, ok := archives[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "max-age=300")
		if file != "" {
			mu.Lock()
			defer mu.Unlock()
			counts[name]++
			w.Write(archive)
			return
		}
		sum := sha512.Sum512(archive)
		json.NewEncoder(w).Encode(map[string]any{"name": name, "dist-tags": map[string]string{"latest": "1.0.0"}, "versions": map[string]any{
			"1.0.0": map[string]any{"name": name, "version": "1.0.0", "dist": map[string]string{
				"tarball": server.URL + "/" + name + "/-/" + name + ".tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			}},
		}})
	}))
	t.Cleanup(server.Close)
	return server.URL, func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[name]
	}
}

// TestNpmCache: of a cache of npm the contents go by last use, and its temporary folders as a whole. What is
// left is whole in npm's own eyes and is not fetched again; what went is.
func TestNpmCache(t *testing.T) {
	npm, work := need(t, "npm"), testDir(t)
	cache := work + "/cache"
	env := []string{"npm_config_cache=" + cache, "npm_config_update_notifier=false", "npm_config_audit=false", "npm_config_fund=false"}
	archives := make(map[string][]byte)
	install := []string{npm, "install", "--prefix", work + "/app"}
	for i := range 4 {
		name := fmt.Sprintf("pack%d", i)
		if err := os.MkdirAll(work+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(work+"/"+name+"/package.json", fmt.Appendf(nil, `{"name":%q,"version":"1.0.0"}`, name), 0o644); err != nil {
			t.Fatal(err)
		}
		packed := work + "/" + strings.TrimSpace(command(t, work, env, npm, "pack", "--silent", "./"+name))
		archive, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		archives[name] = archive
		install = append(install, name)
	}
	url, fetched := registry(t, archives)
	env = append(env, "npm_config_registry="+url)
	command(t, work, env, install...)
	content := cache + "/_cacache/content-v2"
	backdate(t, content, 72*time.Hour)
	sum := sha512.Sum512(archives["pack3"])
	kept := fmt.Sprintf("%s/sha512/%02x/%02x/%x", content, sum[0], sum[1], sum[2:])
	if err := os.Chtimes(kept, time.Now(), time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"git-clone-dead", "git-clone-alive"} {
		path := cache + "/_cacache/tmp/" + folder + "/objects"
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"/pack", []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	backdate(t, cache+"/_cacache/tmp/git-clone-dead", 48*time.Hour)
	results, named := cleanup(t, fmt.Sprintf(`    caches: [{name: content, dir: %s, include: ['*'], age_by: mtime, max_entries: 2, evict_to: 100%%, keep_newest: 1}]
    temp_dirs: [{name: tmp, dir: %s/_cacache/tmp, include: ['*'], entry: dir, age_by: mtime, max_age: 1d}]
`, content, cache))
	if r := results["content"]; r.Scanned < 5 || r.Files != r.Scanned-2 {
		t.Fatalf("%+v\n%s", r, named)
	}
	if r := results["tmp"]; r.Entries != 1 || !strings.Contains(named, "git-clone-dead\t1 file") {
		t.Errorf("%+v\n%s", r, named)
	}
	if _, err := os.Stat(cache + "/_cacache/tmp/git-clone-alive/objects/pack"); err != nil {
		t.Error(err)
	}
	// npm's index still names what went, and npm fails on it until it has verified its cache.
	if verified := command(t, work, env, npm, "cache", "verify"); !strings.Contains(verified, "Content verified: 2") || strings.Contains(verified, "Corrupted") {
		t.Errorf("npm verified\n%s", verified)
	}
	for _, path := range []string{"/app/node_modules", "/app/package-lock.json"} {
		if err := os.RemoveAll(work + path); err != nil {
			t.Fatal(err)
		}
	}
	command(t, work, env, install...)
	// npm pack has put the archives into the cache already.
	if n := fetched("pack3"); n != 0 {
		t.Errorf("the archive that is left was fetched %d times", n)
	}
	if n := fetched("pack0") + fetched("pack1") + fetched("pack2"); n < 2 {
		t.Errorf("of the archives that went %d were fetched again, want at least two", n)
	}
}

// Package docs_test checks what the documents of the repository link to.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// repository is where it lies, as seen from here.
const repository = ".."

var (
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	// linkForm finds [text](target), pictures included, a title after the target being left out.
	linkForm = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	// ownForm finds addresses of files of this repository, wherever they stand.
	ownForm = regexp.MustCompile(`https://github\.com/spillway-exporter/spillway_exporter/(?:blob|tree)/main/([A-Za-z0-9_./-]+[A-Za-z0-9_/-])`)
	scheme  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// prose returns a Markdown text without what stands between fences.
func prose(text string) string {
	var b strings.Builder
	fence := ""
	for line := range strings.Lines(text) {
		mark := strings.TrimLeft(line, " ")
		switch {
		case fence == "" && (strings.HasPrefix(mark, "```") || strings.HasPrefix(mark, "~~~")):
			fence = mark[:3]
		case fence != "" && strings.HasPrefix(mark, fence):
			fence = ""
		case fence == "":
			b.WriteString(line)
		}
	}
	return b.String()
}

// anchors returns the fragments that GitHub gives the headings of a Markdown text.
func anchors(text string) []string {
	var out []string
	seen := map[string]int{}
	for line := range strings.Lines(prose(text)) {
		title := strings.TrimLeft(line, "#")
		if level := len(line) - len(title); level == 0 || level > 6 || !strings.HasPrefix(title, " ") {
			continue
		}
		title = linkText.ReplaceAllString(strings.TrimSpace(title), "$1")
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, title)
		if n := seen[slug]; n > 0 {
			out = append(out, slug+"-"+strconv.Itoa(n))
		} else {
			out = append(out, slug)
		}
		seen[slug]++
	}
	return out
}

var linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// broken returns why a link of a file leads nowhere, or "".
func broken(root, file, link string) string {
	path, fragment, _ := strings.Cut(link, "#")
	target := filepath.Join(root, filepath.Dir(file), filepath.FromSlash(path))
	if path == "" {
		target = filepath.Join(root, file)
	}
	if rel, err := filepath.Rel(root, target); err != nil || strings.HasPrefix(rel, "..") {
		return "leads out of the repository"
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return "there is no such file"
	case fragment == "":
		return ""
	case info.IsDir() || !strings.HasSuffix(target, ".md"):
		return "an anchor in what is not a Markdown file"
	}
	text, err := os.ReadFile(target)
	if err != nil {
		return err.Error()
	}
	if known := anchors(string(text)); !slices.Contains(known, fragment) {
		return "there is no such heading; there are " + strings.Join(known, ", ")
	}
	return ""
}

// textFiles returns the files of a kind that the repository has, relative to it.
func textFiles(t *testing.T, extensions ...string) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(repository), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".github" || slices.Contains([]string{"node_modules", "testdata", "dist"}, d.Name())):
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains(extensions, filepath.Ext(path)):
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLinks(t *testing.T) {
	links := 0
	for _, file := range textFiles(t, ".md") {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkForm.FindAllStringSubmatch(inlineCode.ReplaceAllString(prose(string(text)), ""), -1) {
			if scheme.MatchString(m[1]) {
				continue
			}
			links++
			if why := broken(repository, file, m[1]); why != "" {
				t.Errorf("%s links to %s: %s", file, m[1], why)
			}
		}
	}
	if links < 90 {
		t.Errorf("only %d links were found: the search is broken", links)
	}
}

// The runbooks of alerts, the documentation of the unit and the like are full addresses.
func TestLinksToThisRepository(t *testing.T) {
	links := 0
	for _, file := range textFiles(t, ".md", ".yml", ".yaml", ".json", ".service", ".conf", ".go") {
		text, err := os.ReadFile(filepath.Join(repository, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ownForm.FindAllStringSubmatch(string(text), -1) {
			links++
			if _, err := os.Stat(filepath.Join(repository, m[1])); err != nil && !strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d addresses were found: the search is broken", links)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	root := t.TempDir()
	text := "# One `two`, [three](x.md)\n```\n# not a heading\n```\n## Same\n## Same\n"
	if err := os.WriteFile(filepath.Join(root, "a.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ link, want string }{
		{"a.md", ""},
		{"#one-two-three", ""},
		{"a.md#same-1", ""},
		{".", ""},
		{"b.md", "no such file"},
		{"#not-a-heading", "no such heading"},
		{"#same-2", "no such heading"},
		{".#same", "not a Markdown file"},
		{"../..", "out of the repository"},
	} {
		if got := broken(root, "a.md", tc.link); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tc.link, got, tc.want)
		}
	}
}

package cgroup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.UnixMilli(1_700_000_000_000)

// folders makes folders below a root; a name with a colon is a file and what is in it.
func folders(t testing.TB, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, text, isFile := strings.Cut(name, ":")
		dir := filepath.Join(root, name)
		if isFile {
			dir = filepath.Dir(dir)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if isFile {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// container is a fake host as a container sees it whose own cgroup is given: ROOT and OWN in mountinfo
// are where the host's hierarchy and its own are mounted. The two have one inode where they meet, as
// two mounts of a hierarchy have: a link makes it so.
func container(t testing.TB, own, mountinfo string) *Tree {
	t.Helper()
	dir := t.TempDir()
	host, mine := filepath.Join(dir, "host/sys/fs/cgroup"), filepath.Join(dir, "sys/fs/cgroup")
	folders(t, host, own, "/kubepods.slice/pod1/other", "/system.slice/a.service")
	folders(t, dir, "sys/fs")
	if err := os.Symlink(filepath.Join(host, own), mine); err != nil {
		t.Fatal(err)
	}
	folders(t, dir, "proc/self/mountinfo:"+strings.NewReplacer("ROOT", host, "OWN", mine).Replace(mountinfo), "proc/self/cgroup:0::/\n")
	tree := NewTree(Options{Procfs: filepath.Join(dir, "proc"), Sysfs: filepath.Join(dir, "host/sys"), PID: 7})
	tree.host = filepath.Join(dir, "host/sys")
	return tree
}

const (
	ownMount  = "30 29 0:26 / OWN ro - cgroup2 cgroup rw\n"
	hostMount = "31 29 0:26 /../../.. ROOT ro - cgroup2 cgroup rw\n"
)

func TestResolveInContainer(t *testing.T) {
	const own = "/kubepods.slice/pod1/own"
	tests := []struct {
		name  string
		tree  func(t *testing.T) *Tree
		cases map[string]string
	}{
		{
			"the host's hierarchy at --path.sysfs",
			func(t *testing.T) *Tree { return container(t, own, ownMount+hostMount) },
			map[string]string{
				"/": own, "/sub": own + "/sub", "/..": "/kubepods.slice/pod1", "/../other": "/kubepods.slice/pod1/other",
				"/../../../system.slice/a.service": "/system.slice/a.service", "/../../..": "/", "/../../../../x": "/../../../../x",
				"/..data": own + "/..data", "": "",
			},
		}, {
			"the host's hierarchy at /host/sys, without a flag",
			func(t *testing.T) *Tree {
				tree := container(t, own, ownMount+hostMount)
				tree.opts.Sysfs = filepath.Join(filepath.Dir(filepath.Dir(tree.host)), "sys")
				return tree
			},
			map[string]string{"/../other": "/kubepods.slice/pod1/other"},
		}, {
			"mounted over its own: found as the cgroup that has this process",
			func(t *testing.T) *Tree {
				tree := container(t, own, hostMount)
				folders(t, filepath.Join(tree.host, "fs/cgroup"), "kubepods.slice/pod1/other/cgroup.procs:1\n77\n", own+"/cgroup.procs:6\n7\n")
				return tree
			},
			map[string]string{"/../other": "/kubepods.slice/pod1/other", "/": own},
		}, {
			"its own cgroup is not in the host's hierarchy",
			func(t *testing.T) *Tree { return container(t, own, hostMount) },
			map[string]string{"/../other": "/../other", "/": "/"},
		}, {
			"no mount of the host's",
			func(t *testing.T) *Tree {
				tree := container(t, own, ownMount)
				tree.opts.Sysfs = filepath.Join(filepath.Dir(filepath.Dir(tree.host)), "sys")
				return tree
			},
			map[string]string{"/../other": "/../other", "/": "/"},
		}, {
			"another hierarchy with the same numbers of inodes",
			func(t *testing.T) *Tree {
				return container(t, own, strings.Replace(ownMount, "0:26", "0:27", 1)+hostMount)
			},
			map[string]string{"/../other": "/../other"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := tt.tree(t)
			for raw, want := range tt.cases {
				if got := string(tree.Resolve(epoch, nil, true, []byte(raw))); got != want {
					t.Errorf("Resolve(%q) = %q, want %q", raw, got, want)
				}
				if got := string(tree.Resolve(epoch, nil, false, []byte(raw))); got != raw {
					t.Errorf("Resolve(%q) of version 1, which is not mounted, = %q", raw, got)
				}
			}
		})
	}
}

func TestFindInContainer(t *testing.T) {
	tree := container(t, "/kubepods.slice/pod1/own", ownMount+hostMount)
	root := filepath.Join(tree.host, "fs/cgroup")
	got, err := tree.Find(epoch, "/kubepods.slice/pod1/other", "")
	want := []Group{{Dirs: []string{root + "/kubepods.slice/pod1/other", root + "/kubepods.slice/pod1", root + "/kubepods.slice", root}, Unified: true}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got := tree.Sysfs(epoch); got != tree.host {
		t.Errorf("sysfs %q, want %q", got, tree.host)
	}
}

// TestWalkIsBounded: where the namespace begins is looked for no deeper than the mount's root says.
func TestWalkIsBounded(t *testing.T) {
	root := t.TempDir()
	folders(t, root, "a/b/c", "d/e/f")
	var seen []string
	found := findFolder(root, 2, func(dir string, level int) bool {
		rel, _ := filepath.Rel(root, dir)
		seen = append(seen, rel)
		return level == 2 && rel == "d/e"
	})
	if found != "/d/e" || strings.Join(seen, " ") != ". a d a/b d/e" {
		t.Errorf("found %q after %q", found, seen)
	}
}

func TestBelow(t *testing.T) {
	for in, want := range map[string]string{
		"/../../../../system.slice/containerd.service": "/system.slice/containerd.service", "/..": "", "/a/../b": "/a/../b", "/..a": "/..a", "/": "/", "": "",
	} {
		if got := Below(in); got != want {
			t.Errorf("Below(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParsePaths(t *testing.T) {
	f := func(in, v2, v1 string) {
		t.Helper()
		got2, got1 := Parse([]byte(in))
		if string(got2) != v2 || string(got1) != v1 {
			t.Errorf("Parse(%q) = %q, %q, want %q, %q", in, got2, got1, v2, v1)
		}
	}
	f("0::/system.slice/video.service\n", "/system.slice/video.service", "")
	f("5:cpu,memory,x:/docker/a:b\n1:name=systemd:/y\n0::/\n", "/", "/docker/a:b")
	f("4:cpu:/a\n", "", "")
	f("0::relative\n", "", "")
	f("0::\n\n:\n", "", "")
}

func TestGuessMounts(t *testing.T) {
	base := t.TempDir()
	folders(t, base, "memory/memory.stat:", "unified/cgroup.controllers:")
	opt := cmp.AllowUnexported(hierarchy{})
	if diff := cmp.Diff([]hierarchy{{dir: base + "/unified", root: "/", unified: true}, {dir: base + "/memory", root: "/"}}, guessMounts(base), opt); diff != "" {
		t.Errorf("both versions (-want +got):\n%s", diff)
	}
	folders(t, base, "cgroup.controllers:") // then memory is a cgroup that has this name
	if diff := cmp.Diff([]hierarchy{{dir: base, root: "/", unified: true}}, guessMounts(base), opt); diff != "" {
		t.Errorf("version 2 (-want +got):\n%s", diff)
	}
}

func TestParseMounts(t *testing.T) {
	got := below(parseMounts([]byte(`24 1 0:22 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup/a\040b rw shared:4 master:7 - cgroup2 cgroup rw
31 24 0:27 /x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 24 0:27 / /sys/fs/cgroup/oddmemory rw - cgroup cgroup rw,nomemory
33 24 0:26 / /host/sys/fs/cgroup rw - cgroup2 cgroup rw
34 24 broken
`)), "/sys/fs/cgroup")
	want := []hierarchy{{dir: "/sys/fs/cgroup/a b", root: "/", device: "0:26", unified: true}, {dir: "/sys/fs/cgroup/memory", root: "/x", device: "0:27"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte("30 24 0:26 /x /sys/fs/cgroup rw shared:4 - cgroup2 cgroup rw\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, h := range below(parseMounts(b), "/sys/fs/cgroup") {
			if !strings.HasPrefix(h.dir, "/sys/fs/cgroup") {
				t.Errorf("%q gives a mount at %q", b, h.dir)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("5:cpu,memory:/a\n0::/b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v2, v1 := Parse(b)
		for _, path := range [][]byte{v2, v1} {
			if path != nil && (len(path) == 0 || path[0] != '/' || bytes.ContainsRune(path, '\n')) {
				t.Errorf("%q gives %q", b, path)
			}
		}
	})
}

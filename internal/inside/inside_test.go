package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const privateTmp = `mount -t tmpfs -o mode=1777 tmpfs /tmp && `

func TestOpen(t *testing.T) {
	r := start(t, ownMounts(), privateTmp+`mkdir -p /tmp/app/cache /tmp/open && chmod 777 /tmp/open &&
		mkdir /tmp/open/cache && touch /tmp/app/cache/inside /tmp/file && ln -s /etc /tmp/link && ln -s app /tmp/app-link`).resolver()
	o, err := r.open("/tmp/app/cache", false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(o.FD)
	if got := names(t, o); got != "inside" {
		t.Errorf("it holds %q, want what the process sees", got)
	}
	if o.Name != "/tmp/app/cache as t sees it" || !strings.HasPrefix(o.Of, "process ") || !strings.HasSuffix(o.Place, "/root/tmp/app/cache") {
		t.Errorf("%+v", o)
	}
	if o, err := r.open("/tmp", false); err != nil {
		t.Errorf("its own /tmp: %v", err)
	} else {
		unix.Close(o.FD)
	}
	for dir, want := range map[string]string{
		"/tmp/link": "symbolic link", "/tmp/link/ssh": "symbolic link", "/tmp/app-link/cache": "symbolic link",
		"/tmp/none": "no such file", "/tmp/file": "not a directory", "/tmp/open/cache": "everybody can write to /tmp/open",
		"/": "system directory", "tmp": "not absolute", "/tmp/../etc": "not clean", "/tmp/app/../../etc": "not clean",
		"/etc": "system directory", "/usr/share/doc": "system directory", "/var": "system directory", "/home/x": "home directory",
		"/var/tmp": "is this host's own /var/tmp",
	} {
		wantRefused(t, r, dir, want)
	}
	if _, err := r.open("/tmp/none", false); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, dirscan.ErrAway) {
		t.Errorf("%v", err)
	}
	if _, err := r.open("/tmp/app/cache", true); err == nil || !strings.Contains(err.Error(), "is not in a container") {
		t.Errorf("%v, want that its root is this host's", err)
	}
}

func TestOpenInContainer(t *testing.T) {
	root := t.TempDir()
	r := start(t, ownMounts(), fmt.Sprintf(`mount -t tmpfs tmpfs %[1]s && mkdir -p %[1]s/old %[1]s/proc %[1]s/app/data && touch %[1]s/app/data/file &&
		for d in bin sbin lib lib64 usr; do [ -e /$d ] && mkdir %[1]s/$d && mount --rbind /$d %[1]s/$d; done; cd %[1]s && pivot_root . old && umount -l /old`, root)).resolver()
	open := r.Opener(&policy.Common{Dir: "/app/data", InContainer: true})
	o, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(o.FD)
	if got := names(t, o); got != "file" || o.Name != "/app/data in the container of t" {
		t.Errorf("%+v holds %q", o, got)
	}
	if r.Opener(&policy.Common{Dir: "/app/data"}) != nil {
		t.Error("a folder with a path on this host is opened in the target")
	}
}

// TestOpenOfTheHost: a folder of this host that no clean-up may touch is one under another name too, and
// so is a process without a /tmp of its own.
func TestOpenOfTheHost(t *testing.T) {
	wantRefused(t, start(t, nil, ":").resolver(), "/tmp", "is this host's own /tmp, which other services use too: give the service one of its own, with systemd by PrivateTmp=yes")
	if os.Getuid() != 0 {
		t.Skip("a user cannot show a folder of root: see TestOpenOfAnother")
	}
	journal := t.TempDir()
	if err := os.Mkdir(journal+"/below", 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, ownMounts(), fmt.Sprintf(`mount --bind %[1]s /opt && mount -t tmpfs tmpfs /srv && mkdir /srv/etc /srv/usr /srv/var /srv/root /srv/journal /srv/above &&
		mount --bind /etc /srv/etc && mount --bind /usr /srv/usr && mount --bind /var /srv/var && mount --bind /root /srv/root && mount --bind %[1]s /srv/journal && mount --bind %[2]s /srv/above`,
		journal, filepath.Dir(journal)))
	r := s.resolver(func(o *Options) { o.Reserved = []string{journal} })
	for dir, want := range map[string]string{
		"/srv/etc": "a system directory of this host, /etc", "/srv/etc/ssl": "a system directory of this host, /etc", "/srv/usr": "a system directory of this host, /usr",
		"/srv/usr/share/doc": "a system directory of this host, /usr/share", "/srv/var": "a system directory of this host, /var", "/srv/root": "directory of this host, /root",
		"/srv/journal": "is the exporter's own folder", "/srv/journal/below": "is the exporter's own folder", "/srv/above": "is a folder that holds the exporter's own",
	} {
		wantRefused(t, r, dir, want)
	}
}

// TestOpenOfAnother is the attack that a user namespace makes possible: whoever makes one may show a
// folder of somebody else under the name that a policy has.
func TestOpenOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a folder of another user cannot be made")
	}
	dir := reachable(t)
	if err := errors.Join(os.Mkdir(dir+"/roots", 0o755), os.Mkdir(dir+"/mine", 0o755), os.Chown(dir+"/mine", 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	attack := []string{"setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", "unshare", "-U", "-r", "-m"}
	r := start(t, attack, fmt.Sprintf(`mount -t tmpfs tmpfs /srv && mkdir /srv/cache /srv/own && mount --bind %[1]s/roots /srv/cache && mount --bind %[1]s/mine /srv/own`, dir)).resolver()
	wantRefused(t, r, "/srv/cache", "belongs to user 0, whom its user namespace does not have")
	o, err := r.open("/srv/own", false)
	if err != nil {
		t.Fatalf("its own folder: %v", err)
	}
	defer unix.Close(o.FD)
	if o.Owns == nil || !o.Owns(4242) || o.Owns(0) || o.Owns(4241) || o.Owns(4243) {
		t.Error("files of others in it count as its own, or its own do not")
	}
}

func TestOldest(t *testing.T) {
	at := func(pid, second int, child bool) proc.Member {
		return proc.Member{PID: pid, Start: time.Unix(int64(second), 0), Child: child}
	}
	if m, ok := oldest([]proc.Member{at(5, 9, false), at(7, 3, false), at(6, 1, true), at(9, 3, false), {PID: 2}}); !ok || m.PID != 7 {
		t.Errorf("%+v, want 7", m)
	}
	if _, ok := oldest([]proc.Member{at(6, 1, true)}); ok {
		t.Error("a child counts as a process of the target by itself")
	}
	r := New(Options{Members: func() []proc.Member { return nil }})
	if _, err := r.open("/app/data", false); !errors.Is(err, ErrNoProcess) || !errors.Is(err, dirscan.ErrAway) {
		t.Errorf("%v", err)
	}
}

// TestOpenReplaced: another process, another folder, and one that has ended has none.
func TestOpenReplaced(t *testing.T) {
	s, dir := start(t, ownMounts(), privateTmp+"mkdir /tmp/a"), "/tmp/a"
	one, err := s.resolver().open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(one.FD)
	two, err := start(t, ownMounts(), privateTmp+"mkdir /tmp/a").resolver().open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(two.FD)
	if one.Of == two.Of {
		t.Errorf("both are of %q", one.Of)
	}
	gone := proc.Member{PID: s.members()[0].PID, Start: time.Unix(1, 0)}
	if o, err := New(Options{Members: func() []proc.Member { return []proc.Member{gone} }}).open(dir, false); !errors.Is(err, ErrNoProcess) {
		t.Errorf("%v, %v, want an error: it is not that process", o, err)
	}
}

// TestOpenEnds: what was opened of a process that ends before it is verified is not used, since its pid
// may have been another's by then.
func TestOpenEnds(t *testing.T) {
	s := start(t, ownMounts(), privateTmp+"mkdir /tmp/a")
	members := s.members()
	before := descriptors(t)
	r := s.resolver(func(o *Options) {
		o.Members = func() []proc.Member { return members }
		o.Opened = func(*dirscan.Opened) { s.end() }
	})
	for range 2 {
		if o, err := r.open("/tmp/a", false); !errors.Is(err, dirscan.ErrAway) {
			t.Errorf("%+v, %v, want that the process has ended", o, err)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestOpenSwapped: a folder that is exchanged for a link leads nowhere.
func TestOpenSwapped(t *testing.T) {
	s := start(t, ownMounts(), privateTmp+`mkdir -p /tmp/app/cache /tmp/elsewhere/cache`)
	r := s.resolver()
	o, err := r.open("/tmp/app/cache", false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(o.FD)
	s.sh(t, "mv /tmp/app /tmp/was; ln -s /tmp/elsewhere /tmp/app")
	wantRefused(t, r, "/tmp/app/cache", "/tmp/app is a symbolic link")
	s.sh(t, "rm /tmp/app; mkdir /tmp/app; ln -s /tmp/elsewhere/cache /tmp/app/cache")
	wantRefused(t, r, "/tmp/app/cache", "/tmp/app/cache is a symbolic link")
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestNoDescriptorIsLeft: whether a folder is opened or refused, nothing stays open.
func TestNoDescriptorIsLeft(t *testing.T) {
	members := start(t, ownMounts(), privateTmp+`mkdir -p /tmp/a/b && ln -s a /tmp/link`).members()
	r := New(Options{Members: func() []proc.Member { return members }})
	before := descriptors(t)
	for range 20 {
		for _, dir := range []string{"/tmp/a/b", "/tmp/link/b", "/tmp/a/none/c", "/tmp", "/var/tmp"} {
			if o, err := r.open(dir, false); err == nil {
				unix.Close(o.FD)
			}
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	spdx "github.com/spdx/tools-golang/json"
)

// build runs the program as make image does and returns the folder that it wrote.
func build(t *testing.T, source string) string {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	out, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-source", source, "-out", out, "-version", "v1.2.3", "-revision", "abc", "-name", "registry.example.com/spillway_exporter:v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	return out
}

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var (
	shared     string // what build writes from ../..
	sharedOnce sync.Once
)

// built returns a build of this repository that the tests share; none of them changes it.
func built(t *testing.T) string {
	t.Helper()
	sharedOnce.Do(func() { shared = build(t, "../..") })
	if shared == "" {
		t.Fatal("the build has failed")
	}
	return shared
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(shared)
	os.Exit(code)
}

// The same sources give the same bytes, also in another folder, with other times, another umask and
// another time zone.
func TestSameBytes(t *testing.T) {
	first := readFile(t, built(t), "SHA256SUMS")
	if n := bytes.Count(first, []byte("\n")); n != 5 {
		t.Fatalf("%d files, want two archives, two SBOMs and the archive of both:\n%s", n, first)
	}
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	list.Dir = "../.."
	names, err := list.Output()
	if err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	dir := t.TempDir()
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names, []byte{0}), []byte{0}) {
		data, err := os.ReadFile(filepath.Join("../..", string(name)))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not committed
		}
		at := filepath.Join(dir, string(name))
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	defer syscall.Umask(syscall.Umask(0o077))
	t.Setenv("TZ", "Pacific/Auckland")
	out := build(t, dir)
	defer os.RemoveAll(out)
	if again := readFile(t, out, "SHA256SUMS"); !bytes.Equal(first, again) {
		t.Errorf("two builds of the same sources differ:\n%s\n%s", first, again)
	}
}

// unpack extracts an archive of an OCI layout.
func unpack(t *testing.T, archive string) layout.Path {
	t.Helper()
	dir := t.TempDir()
	r := tar.NewReader(bytes.NewReader(readFile(t, archive)))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(at, 0o755)
		} else {
			var data []byte
			data, err = io.ReadAll(r)
			err = errors.Join(err, os.WriteFile(at, data, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArchives(t *testing.T) {
	out := built(t)
	index, err := unpack(t, filepath.Join(out, "spillway_exporter_all.tar")).ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	top, err := index.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%+v, %v", top, err)
	}
	checkName(t, top.Manifests[0])
	inner, err := index.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := inner.IndexManifest()
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		if p := m.Manifests[i].Platform; p == nil || p.OS != "linux" || p.Architecture != arch {
			t.Errorf("platform %d is %v", i, p)
		}
		file := filepath.Join(out, "spillway_exporter_"+arch+".tar")
		single, err := unpack(t, file).ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		one, err := single.IndexManifest()
		if err != nil || len(one.Manifests) != 1 || one.Manifests[0].Digest != m.Manifests[i].Digest {
			t.Fatalf("%s holds another image: %+v, %v", file, one, err)
		}
		checkName(t, one.Manifests[0])
		img, err := tarball.ImageFromPath(file, nil) // as docker load reads it
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
		checkConfig(t, img, arch)
	}
}

func checkName(t *testing.T, d v1.Descriptor) {
	t.Helper()
	if d.Annotations["io.containerd.image.name"] != "registry.example.com/spillway_exporter:v1.2.3" || d.Annotations["org.opencontainers.image.ref.name"] != "v1.2.3" {
		t.Errorf("annotations %v", d.Annotations)
	}
}

// How the image is started.
func checkConfig(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if file.Architecture != arch || file.OS != "linux" || file.Created.Unix() != 1700000000 {
		t.Errorf("%s: %s/%s of %v", arch, file.OS, file.Architecture, file.Created)
	}
	if c.User != "65532:65532" {
		t.Errorf("%s: user %q", arch, c.User)
	}
	if !slices.Equal(c.Entrypoint, []string{"/usr/bin/spillway_exporter"}) || !slices.Equal(c.Cmd, []string{"serve", "--config.file=/etc/spillway/spillway.yml"}) {
		t.Errorf("%s: %q %q", arch, c.Entrypoint, c.Cmd)
	}
	if _, ok := c.ExposedPorts["10042/tcp"]; !ok {
		t.Errorf("%s: ports %v", arch, c.ExposedPorts)
	}
	if _, ok := c.Volumes["/var/lib/spillway"]; !ok {
		t.Errorf("%s: volumes %v", arch, c.Volumes)
	}
	for key, want := range map[string]string{"version": "v1.2.3", "revision": "abc", "created": "2023-11-14T22:13:20Z", "licenses": "Apache-2.0", "title": "spillway_exporter", "source": "https://github.com/spillway-exporter/spillway_exporter"} {
		if got := c.Labels["org.opencontainers.image."+key]; got != want {
			t.Errorf("%s: label %s is %q, want %q", arch, key, got, want)
		}
	}
}

// files returns the headers and the bytes of the files in an image.
func files(t *testing.T, archive string) (map[string]*tar.Header, map[string][]byte) {
	t.Helper()
	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	headers, data := map[string]*tar.Header{}, map[string][]byte{}
	rc := mutate.Extract(img)
	defer rc.Close()
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return headers, data
		}
		if err != nil {
			t.Fatal(err)
		}
		if data[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
	}
}

func TestContent(t *testing.T) {
	out := built(t)
	headers, data := files(t, filepath.Join(out, "spillway_exporter_arm64.tar"))
	for _, h := range headers {
		owner := 0
		if h.Name == "var/lib/spillway/" || h.Name == "var/lib/spillway" {
			owner = user
		}
		if h.Uid != owner || h.Gid != owner || h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s belongs to %d:%d, of %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		if h.Mode&0o022 != 0 && h.Mode != 0o1777 || h.Mode&0o6000 != 0 {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
	}
	if n := bytes.Count(data["etc/ssl/certs/ca-certificates.crt"], []byte("BEGIN CERTIFICATE")); n < 80 {
		t.Errorf("%d certificates", n)
	}
	if !bytes.Equal(data["etc/spillway/spillway.yml"], readFile(t, "../spillway.yml")) {
		t.Error("the configuration is not the shipped one")
	}
	info, err := buildinfo.Read(bytes.NewReader(data["usr/bin/spillway_exporter"]))
	if err != nil {
		t.Fatal(err)
	}
	sbom := data[sbomPath]
	if !bytes.Equal(sbom, readFile(t, out, "spillway_exporter_arm64.spdx.json")) {
		t.Error("the SBOM in the image and the one next to it differ")
	}
	doc, err := spdx.Read(bytes.NewReader(sbom))
	if err != nil {
		t.Fatal(err)
	}
	purls := map[string]bool{}
	ids := map[string]bool{}
	for _, p := range doc.Packages {
		purls[p.PackageExternalReferences[0].Locator] = true
		if ids[string(p.PackageSPDXIdentifier)] {
			t.Errorf("%s is there twice", p.PackageSPDXIdentifier)
		}
		ids[string(p.PackageSPDXIdentifier)] = true
	}
	if len(doc.Packages) != len(info.Deps)+3 || len(doc.Relationships) != len(doc.Packages) || len(info.Deps) < 30 {
		t.Errorf("%d packages and %d relationships for %d modules", len(doc.Packages), len(doc.Relationships), len(info.Deps))
	}
	for _, dep := range info.Deps {
		if !purls["pkg:golang/"+dep.Path+"@"+dep.Version] {
			t.Errorf("the SBOM lacks %s %s", dep.Path, dep.Version)
		}
	}
	if !purls["pkg:golang/github.com/spillway-exporter/spillway_exporter@v1.2.3"] || !purls["pkg:golang/stdlib@"+strings.TrimPrefix(info.GoVersion, "go")] {
		t.Errorf("the SBOM lacks the program or the standard library: %v", purls)
	}
}

// The image starts as its user with nothing but its own files and /proc.
func TestStarts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing the root needs root")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	root, err := os.MkdirTemp("", "image-root-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	if err := errors.Join(run([]string{"-root", root, "-platforms", "linux/" + goarch(t)}), os.Chmod(root, 0o755), os.Mkdir(filepath.Join(root, "proc"), 0o755)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
		fmt.Sprintf(`mount -t proc proc %[1]s/proc && exec chroot --userspec=%[2]d:%[2]d %[1]s /usr/bin/spillway_exporter serve --config.file=/etc/spillway/spillway.yml --web.listen-address=%[3]s`, root, user, address))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if res, err := http.Get("http://" + address + "/-/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-poll.C:
		case err := <-ended:
			ended <- err
			if strings.Contains(log.String(), "Operation not permitted") {
				t.Skipf("no namespaces here: %s", log.String())
			}
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-deadline:
			t.Fatal("it is not ready after 30 s")
		}
	}
}

func goarch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOHOSTARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// An instruction that is not understood must not be lost.
func TestStartRejects(t *testing.T) {
	const head = "FROM golang AS build\nRUN x\n\nFROM scratch\n"
	for _, tc := range []struct{ text, want string }{
		{"FROM alpine\n", "no last stage FROM scratch"},
		{head + "STOPSIGNAL SIGINT\n", `"STOPSIGNAL SIGINT": unknown instruction`},
		{head + "COPY x /x\n", "stage build alone"},
		{head + "ENTRYPOINT /x\n", "invalid character"},
		{head + "LABEL a=b c=d\n", `one key="value"`},
	} {
		if _, err := parseStart(tc.text, &options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q gives %v, want %q", tc.text, err, tc.want)
		}
	}
	c, err := parseStart(head+"ARG V\n# x\nLABEL v=\"$VERSION\"\nCMD [\"a\"]\n", &options{version: "7"})
	if text, _ := json.Marshal(c); err != nil || c.Labels["v"] != "7" {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRunRejects(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "-out DIR or -root DIR"},
		{[]string{"-out", "x", "-root", "y"}, "-out DIR or -root DIR"},
		{[]string{"-root", t.TempDir()}, "one platform"},
		{[]string{"-root", t.TempDir(), "-platforms", "windows/amd64"}, "write for example linux/amd64"},
		{[]string{"-root", t.TempDir(), "-source", t.TempDir()}, "VERSION"},
	} {
		if err := run(tc.args); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q gives %v, want %q", tc.args, err, tc.want)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	if err := run([]string{"-out", t.TempDir()}); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SOURCE_DATE_EPOCH=today gives %v", err)
	}
}

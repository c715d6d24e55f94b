package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	user     = 65532 // numeric, so that Kubernetes can see that it is not root
	sbomPath = "usr/share/sbom/spillway_exporter.spdx.json"
)

// entry is one file or folder of the image. Folders end in a slash.
type entry struct {
	path string
	mode int64 // as chmod takes it
	uid  int
	data []byte
}

func (e *entry) isDir() bool { return strings.HasSuffix(e.path, "/") }

// content is what an image of one platform holds, parents before children.
type content struct {
	entries []entry
	sbom    []byte
}

// buildContent compiles the exporter and puts everything around it.
func buildContent(o *options, platform string) (content, error) {
	goos, arch, ok := strings.Cut(platform, "/")
	if !ok || goos != "linux" {
		return content{}, fmt.Errorf("unknown platform %q: write for example linux/amd64", platform)
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return content{}, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "spillway_exporter")
	if err := compile(o, arch, file); err != nil {
		return content{}, err
	}
	binary, err := os.ReadFile(file)
	if err != nil {
		return content{}, err
	}
	config, err := os.ReadFile(filepath.Join(o.source, "deploy/spillway.yml"))
	if err != nil {
		return content{}, err
	}
	license, err := os.ReadFile(filepath.Join(o.source, "LICENSE"))
	if err != nil {
		return content{}, err
	}
	sbom, err := makeSBOM(o, binary)
	if err != nil {
		return content{}, err
	}
	return content{sbom: sbom, entries: []entry{
		{path: "etc/", mode: 0o755},
		{path: "etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nspillway:x:%d:\n", user)},
		{path: "etc/passwd", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nspillway:x:%d:%d:spillway:/var/lib/spillway:/sbin/nologin\n", user, user)},
		{path: "etc/spillway/", mode: 0o755},
		{path: "etc/spillway/spillway.yml", mode: 0o644, data: config},
		{path: "etc/ssl/", mode: 0o755},
		{path: "etc/ssl/certs/", mode: 0o755},
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: certificates()},
		{path: "tmp/", mode: 0o1777},
		{path: "usr/", mode: 0o755},
		{path: "usr/bin/", mode: 0o755},
		{path: "usr/bin/spillway_exporter", mode: 0o755, data: binary},
		{path: "usr/share/", mode: 0o755},
		{path: "usr/share/doc/", mode: 0o755},
		{path: "usr/share/doc/spillway_exporter/", mode: 0o755},
		{path: "usr/share/doc/spillway_exporter/LICENSE", mode: 0o644, data: license},
		{path: "usr/share/sbom/", mode: 0o755},
		{path: sbomPath, mode: 0o644, data: sbom},
		{path: "var/", mode: 0o755},
		{path: "var/lib/", mode: 0o755},
		{path: "var/lib/spillway/", mode: 0o750, uid: user},
	}}, nil
}

// compile builds the exporter as the packages do, see package/build.
func compile(o *options, arch, file string) error {
	const version = "github.com/prometheus/common/version."
	date := "" // of the sources
	if o.created.Unix() != 0 {
		date = o.created.Format("2006-01-02T15:04:05Z")
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", file,
		"-ldflags", "-s -w -buildid= -X "+version+"Version="+o.version+" -X "+version+"Revision="+o.revision+" -X "+version+"BuildDate="+date, ".")
	cmd.Dir = o.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build for %s: %w\n%s", arch, err, out)
	}
	return nil
}

// certificates returns Mozilla's authorities for servers, of the version in go.mod. Those that are
// trusted under a condition (certificates issued before a date) are left out: a file of certificates
// cannot say it.
func certificates() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return out.Bytes()
}

// layer returns the tar of the entries.
func (c *content) layer(o *options) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := range c.entries {
		e := &c.entries[i]
		h := &tar.Header{Name: e.path, Mode: e.mode, Uid: e.uid, Gid: e.uid, ModTime: o.created, Size: int64(len(e.data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if e.isDir() {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// writeTree writes the entries below a folder. As root it also sets their owner.
func writeTree(root string, entries []entry) error {
	for i := range entries {
		e := &entries[i]
		at := filepath.Join(root, filepath.FromSlash(e.path))
		var err error
		if e.isDir() {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.WriteFile(at, e.data, 0o600)
		}
		if err != nil {
			return err
		}
		mode := os.FileMode(e.mode & 0o777)
		if e.mode&0o1000 != 0 {
			mode |= os.ModeSticky
		}
		if err := os.Chmod(at, mode); err != nil {
			return err
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(at, e.uid, e.uid); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSums writes SHA256SUMS of the files, as sha256sum does.
func writeSums(dir string, names []string) error {
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(data), name)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), out.Bytes(), 0o644)
}

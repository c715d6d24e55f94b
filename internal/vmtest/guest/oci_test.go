//go:build vm

package guest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ociImage is an image that is made from scratch: one layer of files, and how it is started.
type ociImage struct {
	name       string            // with the tag
	entrypoint []string          // what runs when the pod does not say it
	dir        string            // where it runs
	files      map[string]string // files and folders of this machine, by their path in the image
	texts      map[string]string // further files and what is in them
}

// load makes the image known to the kubelet's containerd.
func (i *ociImage) load(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, i.archive(t), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ctr", "-n", "k8s.io", "images", "import", file)
}

// archive is the image as docker save writes it.
func (i *ociImage) archive(t *testing.T) []byte {
	t.Helper()
	layer := i.layer(t)
	config := marshal(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": i.entrypoint, "WorkingDir": i.dir, "Env": []string{"PATH=/usr/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := marshal(t, []any{map[string]any{"Config": "config.json", "RepoTags": []string{i.name}, "Layers": []string{"layer.tar"}}})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	addFile(t, w, "config.json", config)
	addFile(t, w, "layer.tar", layer)
	addFile(t, w, "manifest.json", manifest)
	closeArchive(t, w)
	return b.Bytes()
}

func (i *ociImage) layer(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, from := range i.files {
		err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := os.Stat(path) // what a link leads to
			if err != nil || !info.Mode().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			addFile(t, w, name+strings.TrimPrefix(path, from), content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range i.texts {
		addFile(t, w, name, []byte(text))
	}
	closeArchive(t, w)
	return b.Bytes()
}

func addFile(t *testing.T, w *tar.Writer, name string, content []byte) {
	t.Helper()
	err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func closeArchive(t *testing.T, w *tar.Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// podProgram is an image of the program of internal/vmtest/pod under a name of its own.
func podProgram(image, program string, args ...string) *ociImage {
	path := "/" + program
	return &ociImage{name: image, entrypoint: append([]string{path}, args...), dir: "/", files: map[string]string{path: "/payload/pod"}}
}

// nodeProgram is an image of this machine's Node.js that runs what the sidecar example watches.
func nodeProgram(t *testing.T, image, script string) *ociImage {
	t.Helper()
	files := map[string]string{"/usr/bin/node": "/usr/bin/node", "/usr/share/nodejs": "/usr/share/nodejs"}
	for word := range strings.FieldsSeq(run(t, "ldd", "/usr/bin/node")) {
		if strings.HasPrefix(word, "/") {
			files[word] = word
		}
	}
	return &ociImage{name: image, dir: "/app", files: files, texts: map[string]string{"/app/src/server.js": script}}
}

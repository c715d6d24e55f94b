package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type platformImage struct {
	platform string
	image    v1.Image
}

// makeImage puts the content into an image of one layer.
func makeImage(o *options, start v1.Config, platform string, c content) (v1.Image, error) {
	files, err := c.layer(o)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9))
	if err != nil {
		return nil, err
	}
	goos, arch, _ := strings.Cut(platform, "/")
	created := v1.Time{Time: o.created}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: goos, Architecture: arch, Created: created, Config: start, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, err
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "deploy/image"}, MediaType: types.OCILayer})
	if err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(img, start.Labels).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("an image with annotations is no longer an image")
	}
	return annotated, nil
}

// archive is the tar of an OCI layout.
type archive struct {
	blobs map[string][]byte // by digest in hex
}

func (a *archive) add(hash v1.Hash, data []byte) { a.blobs[hash.Hex] = data }

// addImage adds what an image consists of.
func (a *archive) addImage(img v1.Image) error {
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	a.add(digest, manifest)
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	if digest, err = img.ConfigName(); err != nil {
		return err
	}
	a.add(digest, config)
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		if digest, err = layer.Digest(); err != nil {
			return err
		}
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		a.add(digest, data)
	}
	return nil
}

// archiveOf returns a tar that podman load, ctr image import, skopeo (oci-archive:) and, if it holds
// one platform, docker load take. All platforms of several are in one index.
func archiveOf(reference string, images []platformImage) ([]byte, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return nil, err
	}
	a := archive{blobs: map[string][]byte{}}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range images {
		if err := a.addImage(p.image); err != nil {
			return nil, err
		}
		platform, err := v1.ParsePlatform(p.platform)
		if err != nil {
			return nil, err
		}
		desc, err := partial.Descriptor(p.image)
		if err != nil {
			return nil, err
		}
		desc.Platform = platform
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: p.image, Descriptor: *desc})
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	top := manifest.Manifests[0]
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	if len(images) > 1 {
		raw, err := index.RawManifest()
		if err != nil {
			return nil, err
		}
		digest, size, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		a.add(digest, raw)
		top = v1.Descriptor{MediaType: types.OCIImageIndex, Digest: digest, Size: size}
	} else if files["manifest.json"], err = dockerManifest(tag, images[0].image); err != nil {
		return nil, err
	}
	// containerd and podman take the whole name from the first annotation; the second is the tag.
	full := strings.Replace(tag.Name(), name.DefaultRegistry+"/", "docker.io/", 1)
	top.Annotations = map[string]string{"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag.TagStr()}
	if files["index.json"], err = json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{top}}); err != nil {
		return nil, err
	}
	for hex, data := range a.blobs {
		files["blobs/sha256/"+hex] = data
	}
	return tarOf(files)
}

// dockerManifest is what docker save writes in addition, for engines that do not know OCI layouts.
func dockerManifest(tag name.Tag, img v1.Image) ([]byte, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	path := func(h v1.Hash) string { return "blobs/sha256/" + h.Hex }
	entry := tarball.Descriptor{Config: path(m.Config.Digest), RepoTags: []string{strings.TrimPrefix(tag.String(), "index.docker.io/library/")}}
	for _, layer := range m.Layers {
		entry.Layers = append(entry.Layers, path(layer.Digest))
	}
	return json.Marshal([]tarball.Descriptor{entry})
}

// tarOf returns a tar of the files and their folders, in the order of their names.
func tarOf(files map[string][]byte) ([]byte, error) {
	names := []string{"blobs/", "blobs/sha256/"}
	for file := range files {
		names = append(names, file)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range names {
		h := &tar.Header{Name: file, Mode: 0o644, Size: int64(len(files[file])), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(file, "/") {
			h.Mode, h.Typeflag = 0o755, tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[file]); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

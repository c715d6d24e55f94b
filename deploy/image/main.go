// Command image builds the container image without a container engine: one static binary for each
// architecture, the certificates of the public authorities, a user and an SBOM, and no shell. The
// same sources, version and time give the same bytes. It is a module of its own, because the
// exporter must not link what writes images.
//
//	go run . -out ../../dist/image                                 archives for podman, docker and ctr
//	go run . -root /out -platforms linux/amd64                     the files alone, for the Dockerfile
//
// How the image is started (user, entry point, labels) is read from the Dockerfile, so that both
// ways of building it agree.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

type options struct {
	source    string // the root of the repository
	out       string // folder for the archives, the SBOMs and SHA256SUMS
	root      string // folder for the files of the image, in place of archives
	platforms []string
	name      string // name and tag
	version   string
	revision  string
	created   time.Time
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.source, "source", "../..", "root of the repository")
	flags.StringVar(&o.out, "out", "", "folder to write the archives to")
	flags.StringVar(&o.root, "root", "", "folder to write the files of one platform to, in place of archives")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "comma-separated platforms")
	flags.StringVar(&o.name, "name", "spillway_exporter:dev", "name and tag of the image")
	flags.StringVar(&o.version, "version", "", "version of the exporter (default that of the file VERSION)")
	flags.StringVar(&o.revision, "revision", "unknown", "commit of the sources")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.platforms = strings.Split(*platforms, ",")
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil && os.Getenv("SOURCE_DATE_EPOCH") != "" {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	o.created = time.Unix(seconds, 0).UTC()
	if o.version == "" {
		text, err := os.ReadFile(filepath.Join(o.source, "VERSION"))
		if err != nil {
			return err
		}
		o.version = strings.TrimSpace(string(text))
	}
	switch {
	case (o.out == "") == (o.root == ""):
		return fmt.Errorf("write either -out DIR or -root DIR")
	case o.root != "":
		return writeRoot(&o)
	default:
		return writeArchives(&o)
	}
}

// writeRoot writes the files of the image of one platform to a folder.
func writeRoot(o *options) error {
	if len(o.platforms) != 1 {
		return fmt.Errorf("-root takes one platform, not %v: write for example -platforms linux/amd64", o.platforms)
	}
	c, err := buildContent(o, o.platforms[0])
	if err != nil {
		return err
	}
	return writeTree(o.root, c.entries)
}

// writeArchives writes an archive and an SBOM for each platform, one archive with all platforms,
// and the checksums.
func writeArchives(o *options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var written []string
	save := func(name string, data []byte) error {
		written = append(written, name)
		return os.WriteFile(filepath.Join(o.out, name), data, 0o644)
	}
	start, err := readStart(filepath.Join(o.source, "deploy/Dockerfile"), o)
	if err != nil {
		return err
	}
	var all []platformImage
	for _, platform := range o.platforms {
		c, err := buildContent(o, platform)
		if err != nil {
			return err
		}
		img, err := makeImage(o, start, platform, c)
		if err != nil {
			return err
		}
		all = append(all, platformImage{platform, img})
		archive, err := archiveOf(o.name, all[len(all)-1:])
		if err != nil {
			return err
		}
		arch := platform[strings.LastIndex(platform, "/")+1:]
		if err := save("spillway_exporter_"+arch+".tar", archive); err != nil {
			return err
		}
		if err := save("spillway_exporter_"+arch+".spdx.json", c.sbom); err != nil {
			return err
		}
	}
	archive, err := archiveOf(o.name, all)
	if err != nil {
		return err
	}
	if err := save("spillway_exporter_all.tar", archive); err != nil {
		return err
	}
	return writeSums(o.out, written)
}

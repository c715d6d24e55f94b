package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

//go:embed go.mod
var goMod string

// The parts of SPDX 2.3 that are written, https://spdx.github.io/spdx-spec/v2.3/.
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		License       string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID        string         `json:"SPDXID"`
		Name      string         `json:"name"`
		Version   string         `json:"versionInfo"`
		Location  string         `json:"downloadLocation"`
		Analyzed  bool           `json:"filesAnalyzed"`
		License   string         `json:"licenseDeclared"`
		Comment   string         `json:"comment,omitempty"`
		Checksums []spdxChecksum `json:"checksums,omitempty"`
		Refs      []spdxRef      `json:"externalRefs"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

var (
	notInID      = regexp.MustCompile(`[^A-Za-z0-9.-]`)
	rootsVersion = regexp.MustCompile(`(?m)^\s*(golang\.org/x/crypto/x509roots/fallback) (\S+)`)
)

// goPackage describes a Go module. sum is its hash in go.sum, "" when it is not known.
func goPackage(path, version, sum string) spdxPackage {
	p := spdxPackage{
		ID:   "SPDXRef-Package-" + notInID.ReplaceAllString(path+"-"+version, "-"),
		Name: path, Version: version, Location: "NOASSERTION", License: "NOASSERTION",
		Refs: []spdxRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")}},
	}
	if sum != "" {
		p.Comment = "go.sum: " + sum
	}
	return p
}

// makeSBOM lists what is in the image: the modules that the linker put into the binary, by the
// binary's own account, the Go standard library, and the certificates.
func makeSBOM(o *options, binary []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("the build information of the binary: %w", err)
	}
	roots := rootsVersion.FindStringSubmatch(goMod)
	if roots == nil {
		return nil, fmt.Errorf("go.mod does not name the version of the certificates")
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(binary))
	main := goPackage(info.Main.Path, "v"+strings.TrimPrefix(o.version, "v"), "")
	main.License, main.Comment = "Apache-2.0", "usr/bin/spillway_exporter, commit "+o.revision
	main.Checksums = []spdxChecksum{{"SHA256", sum}}
	packages := []spdxPackage{main, goPackage("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, dep := range info.Deps {
		packages = append(packages, moduleOf(dep))
	}
	certs := goPackage(roots[1], roots[2], "")
	certs.Comment = "etc/ssl/certs/ca-certificates.crt"
	packages = append(packages, certs)

	doc := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "spillway_exporter " + o.version, Packages: packages,
		Namespace:     "https://github.com/spillway-exporter/spillway_exporter/sbom/" + sum,
		Creation:      spdxCreation{Created: o.created.Format(time.RFC3339), Creators: []string{"Tool: spillway_exporter-image"}},
		Relationships: []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", main.ID}},
	}
	for _, p := range packages[1:] {
		doc.Relationships = append(doc.Relationships, spdxRelationship{main.ID, "DEPENDS_ON", p.ID})
	}
	out, err := json.MarshalIndent(doc, "", " ")
	return append(out, '\n'), err
}

// moduleOf describes a dependency, or what replaces it.
func moduleOf(dep *debug.Module) spdxPackage {
	if dep.Replace != nil {
		dep = dep.Replace
	}
	return goPackage(dep.Path, dep.Version, dep.Sum)
}

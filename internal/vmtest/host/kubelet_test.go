package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

func TestNeedsKubelet(t *testing.T) {
	if !needsKubelet(vmtest.Programs) {
		t.Error("a run of all tests has no kubelet")
	}
	if needsKubelet(selected([]string{"TestUnitReload"})) {
		t.Error("a test of the unit has a kubelet built")
	}
	if !needsKubelet(selected([]string{"TestKubelet"})) {
		t.Error("the tests of the kubelet have none")
	}
}

// What the kubelet is built from is of one release: version 1.N.P is made of modules 0.N.P.
func TestKubeletIsOfOneRelease(t *testing.T) {
	text, err := os.ReadFile("../kubelet/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`k8s\.io/kubernetes v1\.(\d+\.\d+)\s`).FindStringSubmatch(string(text))
	if version == nil {
		t.Fatal("go.mod names no version of k8s.io/kubernetes")
	}
	_, built, _ := strings.Cut(string(text), "replace (\n")
	built, _, _ = strings.Cut(built, "\n)\n")
	modules := regexp.MustCompile(`=> k8s\.io/\S+ v(\S+)`).FindAllStringSubmatch(built, -1)
	if len(modules) < 20 {
		t.Errorf("%d modules are replaced", len(modules))
	}
	for _, m := range modules {
		if m[1] != "0."+version[1] {
			t.Errorf("%s, want 0.%s", m[0], version[1])
		}
	}
}

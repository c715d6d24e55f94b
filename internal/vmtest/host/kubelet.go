package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

// kubeletModule is the module that the kubelet is built from, and manifests what its tests start.
const (
	kubeletModule = "internal/vmtest/kubelet"
	manifests     = "deploy/kubernetes"
)

// needsKubelet reports whether one of the programs tests with a kubelet.
func needsKubelet(programs []vmtest.Program) bool {
	return slices.ContainsFunc(programs, func(p vmtest.Program) bool { return p.Name == vmtest.Kubelet })
}

// buildKubelet returns the kubelet, which is built when it is not in the cache: once for each list of
// modules.
func buildKubelet(ctx context.Context, cache string) (string, error) {
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(kubeletModule, name))
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	file := filepath.Join(cache, fmt.Sprintf("kubelet-%.8x", sum.Sum(nil)))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	list := command(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	list.Dir = kubeletModule
	version, err := list.Output()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "vmtest: building the kubelet %s", version)
	const component = "-X k8s.io/component-base/version."
	unfinished := file + ".unfinished"
	build := command(ctx, "go", "build", "-trimpath", "-o", unfinished,
		"-ldflags", "-s -w "+component+"gitVersion="+strings.TrimSpace(string(version)), "k8s.io/kubernetes/cmd/kubelet")
	build.Dir, build.Env = kubeletModule, append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return "", err
	}
	return file, command(ctx, "mv", unfinished, file).Run()
}

// addKubelet puts the kubelet, what other containers run and the manifests into the folder of the second
// disk.
func addKubelet(ctx context.Context, cache, dir string) error {
	kubelet, err := buildKubelet(ctx, cache)
	if err != nil {
		return err
	}
	pod := command(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "pod"), "./internal/vmtest/pod")
	pod.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := pod.Run(); err != nil {
		return err
	}
	for from, name := range map[string]string{
		kubelet:                       "kubelet",
		manifests + "/daemonset.yaml": "daemonset.yaml",
		manifests + "/configmap.yaml": "configmap.yaml",
		manifests + "/sidecar.yaml":   "sidecar.yaml",
	} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

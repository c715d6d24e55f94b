package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// CleanupTargets returns the targets with folders that a clean-up is for: those that are named, or all.
// The error says which names there are.
func CleanupTargets(cfg *config.Config, names []string, policy string) ([]*config.Target, error) {
	var out []*config.Target
	var known []string
	policyFound := policy == ""
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		actions := DirActions(t, hostfs.Roots{}, action.DirOptions{})
		if len(actions) == 0 {
			continue
		}
		known = append(known, t.Name)
		if len(names) > 0 && !slices.Contains(names, t.Name) {
			continue
		}
		out = append(out, t)
		for _, a := range actions {
			policyFound = policyFound || slices.Contains(a.Policies, policy)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--target %s: no such target with directories: write one of %s", name, strings.Join(known, ", "))
		}
	}
	switch {
	case len(out) == 0:
		return nil, errors.New("nothing to clean: no target has caches, temp_dirs, uploads or logs")
	case !policyFound:
		return nil, fmt.Errorf("--policy %s: the chosen targets have no directory policy of this name", policy)
	}
	return out, nil
}

// WrittenOf returns a digest of what is written about targets, by which two configurations are seen to say the same of them.
func WrittenOf(targets []*config.Target) string {
	h := sha256.New()
	for _, t := range targets {
		fmt.Fprintf(h, "%q %s\n", t.Name, t.Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

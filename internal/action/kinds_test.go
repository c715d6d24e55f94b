package action

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

func newCleanTemp(o DirOptions, policies []policy.Temp) *Dirs {
	return NewDirs(o, policy.KindTemp, &policy.Folders{TempDirs: policies})
}

func newEvictCache(o DirOptions, policies []policy.Cache) *Dirs {
	return NewDirs(o, policy.KindCache, &policy.Folders{Caches: policies})
}

func newEnforceUploads(o DirOptions, policies []policy.Upload) *Dirs {
	return NewDirs(o, policy.KindUpload, &policy.Folders{Uploads: policies})
}

func newRotateLogs(o DirOptions, policies []policy.Log) *Dirs {
	return NewDirs(o, policy.KindLog, &policy.Folders{Logs: policies})
}

// TestEveryKindHasItsWork: a row of policy.Kinds without work would fail in the first run, for real.
func TestEveryKindHasItsWork(t *testing.T) {
	for _, k := range policy.Kinds {
		if kind := dirKinds[k.Name]; kind.work == nil || kind.said == nil {
			t.Errorf("%s has no work, or no message", k.Name)
		}
	}
	if len(dirKinds) != len(policy.Kinds) {
		t.Errorf("%d kinds have work, %d are in the table", len(dirKinds), len(policy.Kinds))
	}
}

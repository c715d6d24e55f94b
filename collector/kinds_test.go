package collector

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

func newCache(target string, p policy.Cache, opens *hitrate.Handle, window int) (*DirSource, error) {
	return NewDir(DirOptions{Target: target, Kind: policy.KindCache, Policy: &p, Opens: opens, Window: window})
}

func newTemp(target string, p policy.Temp) (*DirSource, error) {
	return NewDir(DirOptions{Target: target, Kind: policy.KindTemp, Policy: &p})
}

func newUpload(target string, p policy.Upload) (*DirSource, error) {
	return NewDir(DirOptions{Target: target, Kind: policy.KindUpload, Policy: &p})
}

func newLog(target string, p policy.Log) (*DirSource, error) {
	return NewDir(DirOptions{Target: target, Kind: policy.KindLog, Policy: &p})
}

// TestEveryKindHasItsMeter: each policy of the table can be measured.
func TestEveryKindHasItsMeter(t *testing.T) {
	f := policy.Folders{Caches: []policy.Cache{{}}, TempDirs: []policy.Temp{{}}, Uploads: []policy.Upload{{}}, Logs: []policy.Log{{}}}
	for _, k := range policy.Kinds {
		policies := f.Of(k.Name)
		if len(policies) == 0 {
			t.Errorf("%s: write a policy of it into this test", k.Name)
			continue
		}
		if dirMeters[k.Name] == nil {
			t.Errorf("%s has no meter", k.Name)
			continue
		}
		if _, err := NewDir(DirOptions{Target: "svc", Kind: k.Name, Policy: policies[0]}); err != nil {
			t.Error(err)
		}
	}
}

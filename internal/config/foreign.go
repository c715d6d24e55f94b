package config

import (
	"fmt"
	"path/filepath"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// checkForeign checks the folders that a target has under names of its own. Whether they exist, and what
// they are, is known only while its processes run.
func (t *Target) checkForeign(key string, report report.Func) {
	type folder struct {
		policy policy.Policy
		key    string
	}
	var seen []folder
	for _, kind := range policy.Kinds {
		for i, p := range t.Of(kind.Name) {
			c, k := p.CommonKeys(), fmt.Sprintf("%s.%s[%d]", key, kind.Key, i)
			if !c.Foreign() {
				continue
			}
			at := k + "." + c.ForeignKey()
			if t.Processes == nil {
				report(at, "this target has no processes whose folder it could be: write processes, or the path that the folder has on this host")
			}
			if c.Volume == "" && filepath.IsAbs(c.Dir) && filepath.Clean(c.Dir) == c.Dir { // else the policy has said so itself
				if err := safefs.CheckInside(c.Dir); err != nil {
					report(k+"."+policy.KeyDir, "%v", err)
				}
			}
			for _, o := range seen {
				if why := policy.Conflict(o.policy, p); why != "" {
					report(at, sharedFormat, c.Where(), o.policy.CommonKeys().Where(), o.key, why)
					break
				}
			}
			seen = append(seen, folder{p, k})
		}
	}
}

package policy

import (
	"fmt"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// Owners returns the users of the key owner, nil where it is not written.
func (c *Common) Owners() ([]uint32, error) {
	if c.Owner == nil {
		return nil, nil
	}
	out := make([]uint32, 0, len(c.Owner))
	for i, name := range c.Owner {
		uid, err := hostfs.UserID(name)
		if err != nil {
			return nil, fmt.Errorf("owner[%d]: %w", i, err)
		}
		out = append(out, uid)
	}
	return out, nil
}

// checkOwners reports users that there are not, and one that is written twice.
func (c *Common) checkOwners(report report.Func) {
	var seen []uint32
	if c.Owner != nil && len(c.Owner) == 0 {
		report("owner", "is empty: write the users whose files may go, by name or number, or remove the key")
	}
	for i, name := range c.Owner {
		key := fmt.Sprintf("owner[%d]", i)
		uid, err := hostfs.UserID(name)
		switch {
		case err != nil:
			report(key, "%v", err)
		case slices.Contains(seen, uid):
			report(key, "%q stands twice: remove one", name)
		default:
			seen = append(seen, uid)
		}
	}
}

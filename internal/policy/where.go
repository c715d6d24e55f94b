package policy

import (
	"fmt"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// Foreign reports whether the folder has no path that holds on this host: it is named as the target has
// it, and is opened by what internal/inside finds.
func (c *Common) Foreign() bool { return c.InContainer || c.TargetRoot || c.Volume != "" }

// Where returns the folder as it is written, for people: its path, or "volume NAME".
func (c *Common) Where() string {
	if c.Volume != "" {
		return "volume " + c.Volume
	}
	return c.Dir
}

// ForeignKey returns the key that makes the folder one of the target, "" where there is none.
func (c *Common) ForeignKey() string {
	switch {
	case c.Volume != "":
		return "volume"
	case c.InContainer:
		return "in_container"
	case c.TargetRoot:
		return "target_root"
	}
	return ""
}

// CheckVolume refuses what is not the name of a volume.
func CheckVolume(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q is not the name of a volume: write it as the pod's volumes have it, such as data", name)
	}
	return nil
}

// checkWhere reports keys of the folder that contradict each other.
func (c *Common) checkWhere(report report.Func) {
	if c.InContainer && c.TargetRoot {
		report("target_root", "in_container says already that the folder is the container's: remove one of the two keys")
	}
	if c.Volume == "" {
		return
	}
	if err := CheckVolume(c.Volume); err != nil {
		report("volume", "%v", err)
	}
	if c.Dir != "" {
		report("dir", "volume names the folder already: remove one of the two keys")
	}
	for _, other := range []struct {
		key string
		set bool
	}{{"in_container", c.InContainer}, {"target_root", c.TargetRoot}} {
		if other.set {
			report(other.key, "a volume has no path of its own: remove the key, or write dir in place of volume")
		}
	}
}

// needsPath reports that a key is only for a folder that has a path on this host.
func (c *Common) needsPath(report report.Func, key string, set bool, instead string) {
	if set && c.Foreign() {
		report(key, "needs the path that the folder has on this host, and %s gives none: %s", c.ForeignKey(), instead)
	}
}

package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Recommendation is something that a person could do, with what it brings.
type Recommendation struct {
	Priority string `json:"priority"` // high, medium, low
	Action   string `json:"action"`
}

// Overflow names the target of all groups that discovery does not show; it may well be empty.
const Overflow = "_overflow"

const (
	high   = "high"
	medium = "medium"
	low    = "low"
)

var priorities = map[string]int{high: 0, medium: 1, low: 2}

// recommend names the folder, the action and the gain, the most urgent first.
func recommend(t *Target) []Recommendation {
	var out []Recommendation
	add := func(priority, format string, args ...any) {
		out = append(out, Recommendation{priority, fmt.Sprintf(format, args...)})
	}
	if t.Down() {
		add(high, "No process of %s is running: start it, or correct its selector", t.Name)
	}
	recommendMemory(t, add)
	if p := t.Probe; p != nil && !p.Success && !t.Down() {
		what := "gets no answer"
		if status, ok := known(p.Status); ok {
			what = fmt.Sprintf("is answered with status %.0f", status)
		}
		add(high, "The probe of %s %s: see what the service waits for, or correct the probe", t.Name, what)
	}
	for _, s := range t.failed {
		add(medium, "%s", s)
	}
	for i := range t.Temps {
		recommendTemp(&t.Temps[i], add)
	}
	for i := range t.Folders {
		recommendFolder(&t.Folders[i], add)
	}
	for i := range t.Caches {
		recommendCache(&t.Caches[i], add)
	}
	if len(out) == 0 {
		switch state, _ := t.Overall(); {
		case state == StateUnknown && t.Name == Overflow:
			add(low, "These are all processes that belong to no other target: configure a target for those that matter")
		case state == StateUnknown:
			add(low, "The level of %s is not known: give its memory, its heap or a folder a limit, such as memory: {limit: 1GiB}", t.Name)
		default:
			add(low, normal)
		}
	}
	sortByPriority(out)
	return out
}

func sortByPriority(list []Recommendation) {
	slices.SortStableFunc(list, func(a, b Recommendation) int {
		return cmp.Compare(priorities[a.Priority], priorities[b.Priority])
	})
}

// soonSeconds is how soon memory has to reach its limit so that it does not matter whether it is only the rhythm of the day.
const soonSeconds = 6 * 3600

func recommendMemory(t *Target, add func(priority, format string, args ...any)) {
	used, haveUsed := known(t.UsedBytes)
	limit, haveLimit := known(t.LimitBytes)
	if t.Level != nil && *t.Level >= series.LevelWarning && haveUsed && haveLimit {
		priority := medium
		if *t.Level >= series.LevelCritical {
			priority = high
		}
		add(priority, "Memory is at %s (%s): %s of %s are left before the limit; shed load, or raise the limit", units.Ratio(used/limit), *t.Level,
			units.Bytes(max(limit-used, 0)).String(), units.Bytes(limit).String())
	}
	for i := range t.Heaps {
		h := &t.Heaps[i]
		if of := h.Partly(); of != "" {
			add(low, "The %s heap is that %s: %s", h.Runtime, of, readAll(h.Runtime))
		}
		ratio, ok := h.judged()
		if !ok || t.HeapThresholds.Of(ratio) < series.LevelWarning || t.HeapThresholds.Warning == 0 {
			continue
		}
		add(medium, "The %s heap is at %s of its limit: collect garbage, or raise the limit", h.Runtime, units.Ratio(ratio))
	}
	growth, haveGrowth := known(t.GrowthPerSec)
	left, haveLeft := known(t.ExhaustionSecs)
	surely := !t.Unproven() || left < soonSeconds
	if haveGrowth && haveLeft && growth > 0 && !math.IsInf(left, 1) && left < 24*3600 && surely {
		priority := medium
		if left < 3600 {
			priority = high
		}
		add(priority, "Memory reaches its limit in %s at %s/min: look for a leak and plan a restart",
			roughly(left), units.Bytes(growth*60).String())
	}
}

// readAll says how the heaps of all processes are read.
func readAll(runtime string) string {
	if runtime == "node" {
		return "provider: node_agent reads all of them"
	}
	return "write a target for each, with its own address"
}

func recommendTemp(d *Temp, add func(priority, format string, args ...any)) {
	expired, _ := known(d.Expired)
	empty, _ := known(d.Empty)
	files, haveFiles := known(d.Files)
	limit, haveLimit := known(d.MaxFiles)
	// What is due and cannot be among the files with content is empty.
	dueEmpty := 0.0
	if haveFiles {
		dueEmpty = max(0, expired-max(0, files-empty))
	}
	over := haveFiles && haveLimit && files > limit
	enough := ""
	if over && files-expired <= limit {
		enough = fmt.Sprintf("; the %.0f that stay are within its limit of %.0f", files-expired, limit)
	}
	switch {
	case expired > 0 && (dueEmpty == expired || empty == expired):
		add(medium, "Remove %.0f empty files in %s: frees %.0f inodes%s", expired, d.Name, expired, enough)
	case expired > 0 && empty > 0:
		add(medium, "Remove %.0f empty or expired files in %s: frees %.0f inodes and up to %s%s", expired, d.Name, expired, sizeText(d.SizeBytes), enough)
	case expired > 0:
		add(medium, "Remove %.0f expired files in %s: frees %.0f inodes and up to %s%s", expired, d.Name, expired, sizeText(d.SizeBytes), enough)
	}
	if ratio, ok := known(d.UsedRatio); ok && ratio > 1 && !over {
		add(medium, "Remove the oldest files in %s: it is at %s of its limits", d.Name, units.Ratio(ratio))
	}
	if over && enough == "" { // what goes by its age goes first, and is not counted twice
		other := ""
		if expired > 0 {
			other = " others"
		}
		surplus := files - expired - limit
		if empty > expired { // some of the empty files are not due by their age
			add(medium, "Remove %.0f%s of %.0f files in %s, empty ones first and then the oldest: frees %.0f inodes, its limit is %.0f", surplus, other, files, d.Name, surplus, limit)
			return
		}
		add(medium, "Remove the oldest %.0f%s of %.0f files in %s: frees %.0f inodes, its limit is %.0f", surplus, other, files, d.Name, surplus, limit)
	}
}

func recommendCache(c *Cache, add func(priority, format string, args ...any)) {
	if ratio, ok := known(c.UsedRatio); ok && ratio > 1 {
		add(medium, "Evict the least recently used entries of %s: it is at %s of its limits%s", c.Name, units.Ratio(ratio), excess(c))
	}
	if expired, _ := known(c.Expired); expired > 0 {
		add(low, "Evict %.0f entries of %s that have expired: frees %.0f inodes and their space", expired, c.Name, expired)
	}
}

// excess names what an eviction of a cache gives back at least.
func excess(c *Cache) string {
	if size, ok := known(c.SizeBytes); ok {
		if limit, ok := known(c.MaxBytes); ok && size > limit {
			return ", which frees at least " + units.Bytes(size-limit).String()
		}
	}
	if entries, ok := known(c.Entries); ok {
		if limit, ok := known(c.MaxEntries); ok && entries > limit {
			return fmt.Sprintf(", which removes at least %.0f entries", entries-limit)
		}
	}
	return ""
}

func sizeText(p *float64) string {
	v, ok := known(p)
	if !ok {
		return "its space"
	}
	return units.Bytes(v).String()
}

// roughly writes a span of time as people say it.
func roughly(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}

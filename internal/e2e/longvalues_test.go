//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// kernelSays are what /proc has of all processes of a name, by a walk of its own.
type kernelSays struct{ processes, resident, threads, descriptors, age float64 }

func readKernel(name string) (k kernelSays) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, err := os.ReadFile(dir + "/comm")
		status, err2 := os.ReadFile(dir + "/status")
		if err != nil || err2 != nil || strings.TrimSpace(string(comm)) != name || strings.Contains(string(status), "State:\tZ") {
			continue
		}
		k.processes++
		k.resident += 1024 * field(string(status), "VmRSS:")
		k.threads += field(string(status), "Threads:")
		open, _ := os.ReadDir(dir + "/fd")
		k.descriptors += float64(len(open))
		stat, _ := os.ReadFile(dir + "/stat")
		up, _ := os.ReadFile("/proc/uptime")
		if parts := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(parts) > 19 {
			started, _ := strconv.ParseFloat(parts[19], 64)
			now, _ := strconv.ParseFloat(strings.Fields(string(up))[0], 64)
			k.age = max(k.age, now-started/100)
		}
	}
	return k
}

// field is the number behind a name in a text of lines.
func field(text, name string) float64 {
	_, rest, _ := strings.Cut("\n"+text, "\n"+name)
	parts := strings.Fields(rest)
	if len(parts) == 0 {
		return -1
	}
	n, err := strconv.ParseFloat(parts[0], 64)
	if err != nil {
		return -1
	}
	return n
}

// compareWithKernel compares the panels of the dashboards with /proc, as it is at the same time but for the
// interval of a scrape.
func (r *longRun) compareWithKernel(t *testing.T, lasting bool) {
	t.Helper()
	all := everyQuery(t)
	panel := func(dashboard, title, legend, target string) float64 {
		one := *r.g
		one.instance, one.target = r.busy.addr, target
		for i := range all {
			if q := &all[i]; q.Dashboard == dashboard && q.Panel == title && strings.HasPrefix(q.Legend, legend) {
				return one.value(t, q)
			}
		}
		t.Errorf("%s has no panel %q with %q", dashboard, title, legend)
		return -1
	}
	meminfo, _ := os.ReadFile("/proc/meminfo")
	r.near(t, "total memory of the host", panel("spillway-overview.json", "Parts of the memory of all hosts", "total", ".+"), 1024*field(string(meminfo), "MemTotal:"), 0)
	if !lasting {
		return
	}
	for _, name := range []string{"steady", "prometheus-node"} {
		const board = "spillway-target.json"
		if is, err := r.g.query(fmt.Sprintf("spillway_processes{instance=%q,target=%q}", r.busy.addr, name), true); err != nil || len(is) == 0 {
			continue // twenty others are larger at the moment: checkCompared counts how often it was a target
		}
		k, values := readKernel(name), [5]float64{
			panel(board, "Processes", "processes", name), panel(board, "Peaks between scrapes", "RSS", name), panel(board, "Threads and descriptors", "threads", name),
			panel(board, "Threads and descriptors", "descriptors", name), panel(board, "Oldest process", "", name),
		}
		r.near(t, "processes of "+name, values[0], k.processes, 0)
		r.near(t, "resident memory of "+name, values[1], k.resident, max(0.1*k.resident, 1<<20))
		r.near(t, "threads of "+name, values[2], k.threads, 0.2*k.threads)
		r.near(t, "descriptors of "+name, values[3], k.descriptors, 3)
		r.near(t, "age of "+name, values[4], k.age, 2)
	}
}

// value is the one value that a panel has now.
func (g *grafana) value(t *testing.T, q *dashboards.Query) float64 {
	t.Helper()
	lines, err := g.query(g.expand(q.Raw), true)
	if err != nil || len(lines) != 1 {
		t.Errorf("%s, panel %q, %s of %s: %d values, %v, want one", q.Dashboard, q.Panel, q.Legend, g.target, len(lines), err)
		return -1
	}
	return lines[0].last()
}

// checkCompared wants every value to have been compared most of the time.
func (r *longRun) checkCompared(t *testing.T) {
	t.Helper()
	for what, c := range r.compared {
		if least := int(r.span.Minutes()) / 2; c.times < least {
			t.Errorf("%s was compared %d times, want %d at least", what, c.times, least)
		}
	}
	if len(r.compared) < 11 {
		t.Errorf("%d values were compared with the kernel's, want 11", len(r.compared))
	}
}

// near compares a value with what it should be. What was compared is one row of the report, with the
// largest difference.
func (r *longRun) near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	off := math.Abs(got - want)
	if off > within {
		t.Errorf("%s at %s: %v, and %v by the kernel", what, time.Now().Format(time.TimeOnly), got, want)
	}
	c := r.compared[what]
	if c == nil {
		c = &comparison{}
		r.compared[what] = c
	}
	c.times, c.ours, c.theirs = c.times+1, got, want
	c.worst = max(c.worst, off)
}

// comparison is what was compared, how often, and how far apart it was at most.
type comparison struct {
	times               int
	ours, theirs, worst float64
}

// others are expressions whose values another exporter has as well: the sums over the run of what both
// count, and at each step what both measure. The names are those of the groups of both.
var others = []struct {
	what, ours, theirs string
	within             float64 // of theirs, of the median of all steps
}{
	{"node_exporter: total memory", `spillway_host_memory_total_bytes%s`, `node_memory_MemTotal_bytes`, 0},
	{"node_exporter: available memory", `spillway_host_memory_available_bytes%s`, `node_memory_MemAvailable_bytes`, 0.05},
	{"node_exporter: time waited for the processor", `rate(spillway_host_pressure_waiting_seconds_total{resource="cpu",%s[10m])`, `rate(node_pressure_cpu_waiting_seconds_total[10m])`, 0.1},
	{"process-exporter: processes of steady", `spillway_processes{target="steady",%s`, `namedprocess_namegroup_num_procs{groupname="steady"}`, 0},
	{"process-exporter: resident memory of steady", `spillway_memory_resident_bytes{target="steady",%s`, `namedprocess_namegroup_memory_bytes{groupname="steady",memtype="resident"}`, 0.02},
	{"process-exporter: resident memory of node_exporter", `spillway_memory_resident_bytes{target="prometheus-node",%s`, `namedprocess_namegroup_memory_bytes{groupname="prometheus-node",memtype="resident"}`, 0.05},
	{"process-exporter: address space of node_exporter", `spillway_memory_virtual_bytes{target="prometheus-node",%s`, `namedprocess_namegroup_memory_bytes{groupname="prometheus-node",memtype="virtual"}`, 0.01},
	{"process-exporter: processor time of node_exporter", `sum(rate(spillway_process_cpu_seconds_total{target="prometheus-node",%s[10m]))`, `sum(rate(namedprocess_namegroup_cpu_seconds_total{groupname="prometheus-node"}[10m]))`, 0.1},
	{"process-exporter: page faults of node_exporter", `rate(spillway_process_minor_page_faults_total{target="prometheus-node",%s[10m])`, `rate(namedprocess_namegroup_minor_page_faults_total{groupname="prometheus-node"}[10m])`, 0.1},
	{"process-exporter: sleeping processes of steady", `spillway_process_states{target="steady",state="sleeping",%s`, `namedprocess_namegroup_states{groupname="steady",state="Sleeping"}`, 0},
	{"process-exporter: fullest descriptor table of steady", `spillway_process_worst_fd_ratio{target="steady",%s`, `namedprocess_namegroup_worst_fd_ratio{groupname="steady"}`, 0},
	{"process-exporter: threads of node_exporter", `spillway_process_threads{target="prometheus-node",%s`, `namedprocess_namegroup_num_threads{groupname="prometheus-node"}`, 0.1},
	{"process-exporter: descriptors of node_exporter", `spillway_process_open_fds{target="prometheus-node",%s`, `namedprocess_namegroup_open_filedesc{groupname="prometheus-node"}`, 0.1},
}

func (r *longRun) compareWithOthers(t *testing.T) {
	t.Helper()
	for _, o := range others {
		of := fmt.Sprintf(`instance=%q}`, r.busy.addr)
		if strings.Contains(o.ours, "%s") && !strings.Contains(o.ours, ",%s") {
			of = "{" + of
		}
		ours, theirs := r.series(t, fmt.Sprintf(o.ours, of)), r.series(t, o.theirs)
		var off []float64
		for at, a := range ours {
			if b, ok := theirs[at]; ok {
				off = append(off, math.Abs(a-b)/max(math.Abs(b), 1e-9))
			}
		}
		if len(off) < 10 {
			t.Errorf("%s: %d common points: %d of ours, %d of theirs", o.what, len(off), len(ours), len(theirs))
			continue
		}
		slices.Sort(off)
		median := off[len(off)/2]
		if median > o.within {
			t.Errorf("%s: the median of the differences is %.1f %%", o.what, 100*median)
		}
		r.row("| %s | %d points, %.2f %% apart in the median, %.2f %% at most |", o.what, len(off), 100*median, 100*off[len(off)-1])
	}
	for _, what := range slices.Sorted(maps.Keys(r.compared)) {
		c := r.compared[what]
		r.row("| /proc: %s | %d times, last %v and %v, at most %v apart |", what, c.times, c.ours, c.theirs, c.worst)
	}
}

// series are the values of an expression that has one, by their time.
func (r *longRun) series(t *testing.T, expr string) map[string]float64 {
	t.Helper()
	one := *r.g
	one.span -= 2 * time.Minute // until then not everything is a target
	lines, err := one.query(expr, false)
	if err != nil || len(lines) != 1 {
		t.Errorf("%s: %d series, %v, want one", expr, len(lines), err)
		return nil
	}
	out := make(map[string]float64)
	for _, v := range lines[0].Values {
		text, _ := v[1].(string)
		n, err := strconv.ParseFloat(text, 64)
		if err == nil {
			out[fmt.Sprint(v[0])] = n
		}
	}
	return out
}

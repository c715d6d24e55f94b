package collector

import (
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// published says where a figure of the processes goes.
type published struct {
	figure proc.Figure
	desc   *series.Desc
	label  string // the second one, after the target; "" where there is none
}

var gaugeFigures = []published{
	{proc.FigureFile, metric.MemoryFile, ""},
	{proc.FigureShmem, metric.MemoryShmem, ""},
	{proc.FigureSwap, metric.MemorySwap, ""},
	{proc.FigurePeak, metric.MemoryPeak, ""},
	{proc.FigureVirtual, metric.MemoryVirtual, ""},
	{proc.FigureThreads, metric.ProcessThreads, ""},
	{proc.FigureDescriptors, metric.ProcessFDs, ""},
}

var counterFigures = []published{
	{proc.FigureUserTime, metric.ProcessCPU, "user"},
	{proc.FigureSystemTime, metric.ProcessCPU, "system"},
	{proc.FigureMinorFaults, metric.ProcessMinorFaults, ""},
	{proc.FigureMajorFaults, metric.ProcessMajorFaults, ""},
	{proc.FigureReadBytes, metric.ProcessReadBytes, ""},
	{proc.FigureWriteBytes, metric.ProcessWriteBytes, ""},
	{proc.FigureVoluntarySwitches, metric.ProcessSwitches, "voluntary"},
	{proc.FigureInvoluntarySwitches, metric.ProcessSwitches, "involuntary"},
}

// figures publishes what the processes of one target have and do. What could not be read of each of
// them is absent.
type figures struct {
	counters []monotonic // of counterFigures
	labels   [2][]string // of one label, of two
}

// set publishes what is known. A counter goes on from where it was before a reload.
func (f *figures) set(b *series.Batch, store *series.Store, target string, u *proc.Usage) {
	if f.counters == nil {
		f.counters = make([]monotonic, len(counterFigures))
		f.labels = [2][]string{{target}, {target, ""}}
	}
	for i := range gaugeFigures {
		p := &gaugeFigures[i]
		if v, ok := u.Figures.Get(p.figure); ok {
			b.Set(p.desc, float64(v), f.with(p.label)...)
		}
	}
	for i := range counterFigures {
		p := &counterFigures[i]
		n, ok := u.Figures.Get(p.figure)
		if !ok {
			continue
		}
		v := float64(n)
		if p.desc == metric.ProcessCPU {
			v = proc.Seconds(n)
		}
		f.counters[i].set(b, store, p.desc, v, f.with(p.label)...)
	}
	if u.HasFullest {
		b.Set(metric.ProcessFullestFDs, u.Fullest, f.with("")...)
	}
	for i := range u.Threads {
		b.Set(metric.ProcessNamed, float64(u.Threads[i].Threads), f.with(u.Threads[i].Name)...)
	}
	if u.HasStates {
		for i, n := range u.States {
			b.Set(metric.ProcessStates, float64(n), f.with(proc.State(i).String())...)
		}
	}
}

// with returns the label values of a series, valid until the next call.
func (f *figures) with(label string) []string {
	if label == "" {
		return f.labels[0]
	}
	f.labels[1][1] = label
	return f.labels[1]
}

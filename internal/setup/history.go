package setup

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// HistoryOptions configure a History. All are required but Trends.
type HistoryOptions struct {
	Config     *config.Config
	Journal    *journal.Journal
	Series     *series.Store
	Members    func(target string) []proc.Member
	ProcFS     string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
	Trends     *trend.Board // where the growth between days is put
}

// History is the file of the history and what fills it. It outlives reloads. A nil *History records nothing.
type History struct {
	store    *history.Store
	recorder *history.Recorder
	folders  *folderlog.Log // nil: what becomes of files is not kept
	logger   *slog.Logger
}

// NewHistory returns a History, which Run opens; nil where it is off, or where the journal is in memory only.
func NewHistory(o HistoryOptions) *History {
	c := &o.Config.History
	switch {
	case !c.Enabled():
		return nil
	case !o.Journal.Durable():
		o.Logger.Warn("the history is off: no folder for the journal can be written, and it would be there; write journal: {dir: ...}")
		return nil
	}
	h := &History{logger: o.Logger, store: history.New(history.Options{
		Path: filepath.Join(filepath.Dir(o.Journal.Path()), history.FileName), Keep: c.Keep.Std(), MaxBytes: int64(c.MaxBytes),
		Logger: o.Logger, Registerer: o.Registerer, Now: o.Now,
	})}
	h.recorder = history.NewRecorder(history.RecorderOptions{
		Taken: newTrends(h.store, &o).take,
		Store: h.store, Series: o.Series, Refill: o.Series.Reach(), Logger: o.Logger, Now: o.Now,
		Program: func(target string, started time.Time) history.Program {
			return programOf(o.ProcFS, o.Members(target), started)
		},
	})
	var err error
	if h.folders, err = folderlog.Open(filepath.Dir(o.Journal.Path())); err != nil {
		o.Logger.Warn("the log of folders is off: check --replay cannot say what a policy would have removed", "err", err)
		return h
	}
	h.folders.LogTo(o.Logger)
	return h
}

// Folders returns what keeps what becomes of files, nil where nothing does.
func (h *History) Folders() *folderlog.Log {
	if h == nil {
		return nil
	}
	return h.folders
}

// Store returns the file, nil where there is none.
func (h *History) Store() *history.Store {
	if h == nil {
		return nil
	}
	return h.store
}

// Series returns the points of a gauge, as the file has them; none where there is no file.
func (h *History) Series(target, gauge string, from, to time.Time) ([]history.Point, error) {
	if h == nil {
		return nil, nil
	}
	return h.store.Series(target, gauge, from, to)
}

// Marks returns the starts of a service; none where there is no file.
func (h *History) Marks(target string, from, to time.Time) ([]history.Mark, error) {
	if h == nil {
		return nil, nil
	}
	return h.store.Marks(target, from, to)
}

// Swept is called after a sweep. It never waits.
func (h *History) Swept() {
	if h != nil {
		h.recorder.Swept()
	}
}

// Run opens the file and records until ctx is done.
func (h *History) Run(ctx context.Context) {
	if h == nil {
		return
	}
	h.recorder.Run(ctx)
	if h.folders == nil {
		return
	}
	if err := h.folders.Close(); err != nil {
		h.logger.Warn("the end of the log of folders is lost", "err", err)
	}
}

// programOf returns the program of the member that started at a time, as the kernel has it: what was
// installed in its place since is another one.
func programOf(procfs string, members []proc.Member, started time.Time) history.Program {
	for i := range members {
		m := &members[i]
		if m.Start.Sub(started).Abs() > time.Second {
			continue
		}
		info, err := os.Stat(filepath.Join(procfs, strconv.Itoa(m.PID), "exe"))
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return history.Program{Inode: st.Ino, Modified: info.ModTime()}
		}
	}
	return history.Program{}
}

//go:build linux && !portable

package dirscan

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// share is what the walkers of one scan have in common. A walker with nothing to do waits here,
// and one that has sub-folders ahead of it gives half of them away: those that are the furthest up
// its stack, behind which the most is to be expected.
type share struct {
	cancel context.CancelFunc
	hungry atomic.Int32 // walkers that wait and for whom nothing lies ready

	mu      sync.Mutex
	cond    sync.Cond
	jobs    []job
	waiting int
	busy    int // walkers that may still give something away

	visit sync.Mutex // held during Options.Visit; guards err
	err   error      // the first of Visit or of the context
}

// job is sub-folders of one folder.
type job struct {
	fd    int    // of the folder, to be closed
	path  []byte // of the folder, relative to the root, with a slash at its end unless it is the root
	depth int
	names []byte // of the sub-folders, each with a NUL
}

// scanShared walks with several walkers. The first one starts at the root, the others live on what
// it gives away.
func scanShared(ctx context.Context, fd int, o *Options) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &share{cancel: cancel, busy: 1}
	s.cond.L = &s.mu
	walkers := make([]*walker, o.Workers)
	var others sync.WaitGroup
	for i := range walkers {
		own := *o
		if i > 0 && o.Ages != nil {
			own.Ages = new(Histogram)
		}
		if i > 0 && o.Shapes != nil {
			own.Shapes = &Shapes{Files: o.Shapes.Files}
		}
		walkers[i] = newWalker(ctx, &own, s)
	}
	for _, w := range walkers[1:] {
		others.Go(w.serve)
	}
	err := walkers[0].walk(fd)
	s.finish(err)
	walkers[0].serve()
	others.Wait()
	res := walkers[0].res
	for _, w := range walkers[1:] {
		res.merge(&w.res)
		if o.Ages != nil {
			o.Ages.merge(w.o.Ages)
		}
		if o.Shapes != nil {
			o.Shapes.merge(w.o.Shapes)
		}
	}
	return res, s.err
}

// serve does what other walkers give away, until all are done.
func (w *walker) serve() {
	for {
		j, ok := w.share.take()
		if !ok {
			return
		}
		w.share.finish(w.resume(j))
	}
}

// take waits for a job. ok is false when there will be none.
func (s *share) take() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	s.tally()
	for len(s.jobs) == 0 && s.busy > 0 {
		s.cond.Wait()
	}
	s.waiting--
	if len(s.jobs) > 0 {
		last := len(s.jobs) - 1
		j, s.jobs = s.jobs[last], s.jobs[:last]
		s.busy++
		ok = true
	}
	s.tally()
	return j, ok
}

// finish says that a walker has done what it had, and whether that failed, which ends the scan.
func (s *share) finish(err error) {
	if err != nil {
		s.fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy--; s.busy == 0 {
		s.cond.Broadcast()
	}
}

// fail keeps the first error and stops all walkers.
func (s *share) fail(err error) {
	s.visit.Lock()
	defer s.visit.Unlock()
	s.failLocked(err)
}

func (s *share) failLocked(err error) {
	if s.err == nil {
		s.err = err
		s.cancel()
	}
}

func (s *share) tally() { s.hungry.Store(int32(s.waiting - len(s.jobs))) }

// visited calls Visit, for one walker at a time, and no more once it has ended the scan.
func (s *share) visited(visit func(*Entry) error, e *Entry) error {
	s.visit.Lock()
	defer s.visit.Unlock()
	if s.err != nil {
		return s.err
	}
	err := visit(e)
	if err != nil {
		s.failLocked(err)
	}
	return err
}

// give gives sub-folders away that wait on the stack, if there are any to spare.
func (w *walker) give() {
	top := len(w.stack) - 1
	for i, f := range w.stack {
		if f.fd < 0 || len(f.pending) == 0 {
			continue
		}
		half := f.pending[:len(f.pending)/2]
		cut := bytes.LastIndexByte(half, 0) + 1
		if cut == 0 && i == top { // one name: our own next step
			return
		}
		fd, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return // no descriptor to spare: we go on alone
		}
		w.share.put(job{fd: fd, path: f.AppendPath(nil), depth: f.depth, names: bytes.Clone(f.pending[cut:])})
		f.pending = f.pending[:cut] // what is walked at present lies behind it and stays where it is
		return
	}
}

func (s *share) put(j job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
	s.tally()
	s.cond.Signal()
}

// resume walks sub-folders that another walker has listed.
func (w *walker) resume(j job) error {
	f := w.frame(j.fd, nil, j.path)
	f.depth, f.eof = j.depth, true
	f.pending = append(f.pending, j.names...)
	w.stack = append(w.stack, f)
	w.held = 1
	defer w.close()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.run()
}

// merge adds what another walker saw.
func (r *Result) merge(o *Result) {
	if o.Files > 0 {
		if r.Files == 0 || o.OldestNs < r.OldestNs {
			r.OldestNs = o.OldestNs
		}
		if r.Files == 0 || o.NewestNs > r.NewestNs {
			r.NewestNs = o.NewestNs
		}
	}
	r.Files += o.Files
	r.EmptyFiles += o.EmptyFiles
	r.SizeBytes += o.SizeBytes
	r.AllocatedBytes += o.AllocatedBytes
	r.Folders += o.Folders
	r.Entries += o.Entries
	for i, n := range o.Skipped {
		r.Skipped[i] += n
	}
	for errno, n := range o.Errnos {
		if r.Errnos == nil {
			r.Errnos = make(map[unix.Errno]int64)
		}
		r.Errnos[errno] += n
	}
}

// merge adds the counts of another histogram.
func (h *Histogram) merge(o *Histogram) {
	for i, n := range o.Files {
		if n > 0 {
			h.Files[i] += n
			h.Size[i] += o.Size[i]
			h.Allocated[i] += o.Allocated[i]
		}
	}
}

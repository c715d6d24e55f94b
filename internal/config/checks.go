package config

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
)

// answerLimit is how long a file or folder may take to answer before the check goes on without it.
const answerLimit = 2 * time.Second

// ErrNoAnswer says that a path does not answer, as one whose file server is gone. What is stuck in
// the kernel cannot be cancelled.
var ErrNoAnswer = errors.New("does not answer: check whether the server of its mount is alive")

// Checks looks at the files and folders that a configuration names, each on a goroutine of its
// own, so that one that does not answer holds up neither a start nor a reload. Its zero value is
// ready. One that outlives reloads asks no path again that has not answered yet.
type Checks struct {
	Host hostfs.Roots // where the folders of the configuration are found; set before the first look

	mu      sync.Mutex
	waiting map[string]bool
}

// Ask returns what look finds at a path, or an ErrNoAnswer after 2 s.
func Ask[T any](c *Checks, path string, look func() T) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	return ask(c, path, look).wait(ctx)
}

// AskEach looks at several paths, all at once, and returns when each has answered, or after 2 s.
func AskEach(c *Checks, paths []string, look func(path string)) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	asked := make([]question[struct{}], len(paths))
	for i, path := range paths {
		asked[i] = ask(c, path, func() (none struct{}) {
			look(path)
			return none
		})
	}
	for _, q := range asked {
		//nolint:errcheck // whoever needs the path says so
		q.wait(ctx)
	}
}

// question is a look at a path that is under way.
type question[T any] struct {
	checks *Checks
	path   string
	answer chan T // nil: the path has not answered an earlier look
	done   *bool  // guarded by checks.mu
}

func ask[T any](c *Checks, path string, look func() T) question[T] {
	q := question[T]{checks: c, path: path, done: new(bool)}
	c.mu.Lock()
	waiting := c.waiting[path]
	c.mu.Unlock()
	if waiting {
		return q
	}
	q.answer = make(chan T, 1)
	go func() {
		found := look()
		c.mu.Lock()
		*q.done = true
		delete(c.waiting, path)
		c.mu.Unlock()
		q.answer <- found
	}()
	return q
}

// wait returns the answer, or an ErrNoAnswer when ctx is done first.
func (q question[T]) wait(ctx context.Context) (found T, err error) {
	if q.answer != nil {
		select {
		case found = <-q.answer:
			return found, nil
		case <-ctx.Done():
		}
		select { // it may have answered while another was waited for
		case found = <-q.answer:
			return found, nil
		default:
			q.checks.giveUp(q.path, q.done)
		}
	}
	return found, fmt.Errorf("%q %w", q.path, ErrNoAnswer)
}

// giveUp remembers that a path does not answer, until it does.
func (c *Checks) giveUp(path string, done *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *done {
		return
	}
	if c.waiting == nil {
		c.waiting = make(map[string]bool)
	}
	c.waiting[path] = true
}

// Load is the function Load with these Checks.
func (c *Checks) Load(path string) (*Config, error) {
	type file struct {
		raw []byte
		err error
	}
	f, err := Ask(c, path, func() (f file) {
		f.raw, f.err = read(path)
		return f
	})
	if err == nil {
		err = f.err
	}
	if err != nil {
		return nil, Errors{{File: path, Msg: fmt.Sprintf("cannot be read (%v): check --config.file", err)}}
	}
	if len(f.raw) > maxFileBytes {
		return nil, Errors{{File: path, Msg: "is larger than 4 MiB: this is not a configuration of spillway_exporter"}}
	}
	return c.Parse(path, f.raw)
}

// read returns a file, and one byte more than allowed where it is too large.
func read(path string) ([]byte, error) {
	raw, err := hostfs.ReadFile(path, maxFileBytes)
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	return raw, err
}

// Parse is the function Parse with these Checks.
func (c *Checks) Parse(file string, raw []byte) (*Config, error) {
	cfg, errs := parse(file, raw, c)
	if len(errs) > 0 {
		return nil, errs.sorted()
	}
	return cfg, nil
}

package leak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Options say how fast the service leaks. Zero values take the defaults.
type Options struct {
	Dir              string        // folder to fill: cache/ and tts/ are made below it
	Address          string        // of the HTTP server; default 127.0.0.1:0
	Every            time.Duration // one step of growth; default 200ms
	EntryBytes       int           // size of one cache file; default 256 KiB
	HeldBytes        int           // memory held per cache file; default 1 MiB
	GarbageBytes     int           // garbage made per step; default 1.5 MiB
	SessionBytes     int           // memory of the session that each step remembers for good; default 0
	MaxResidentBytes uint64        // heap at which growth stops; default 512 MiB
}

// Paths are what the service made and where it answers.
type Paths struct {
	Address  string `json:"address"`   // host:port of /health, /stats and /debug/pprof
	CacheDir string `json:"cache_dir"` // never trimmed by the service
	TempDir  string `json:"temp_dir"`  // empty and full files, one of them kept open
	OpenFile string `json:"open_file"` // the one that stays open
}

// Service is a running leak.
type Service struct {
	opts  Options
	paths Paths
	open  *os.File
	srv   *http.Server

	mu       sync.Mutex
	sessions [][]byte          // never let go
	held     map[string][]byte // by cache file: what the service keeps in memory for it
	started  time.Time
	steps    int
}

// Start makes the folders, opens the listener and the file that stays open.
func Start(o Options) (*Service, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Every <= 0 {
		o.Every = 200 * time.Millisecond
	}
	defInt(&o.EntryBytes, 256<<10)
	defInt(&o.HeldBytes, 1<<20)
	defInt(&o.GarbageBytes, 3<<19)
	if o.MaxResidentBytes == 0 {
		o.MaxResidentBytes = 512 << 20
	}
	s := &Service{opts: o, held: make(map[string][]byte), started: time.Now()}
	s.paths.CacheDir = filepath.Join(o.Dir, "cache")
	s.paths.TempDir = filepath.Join(o.Dir, "tts")
	for _, d := range []string{s.paths.CacheDir, s.paths.TempDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("leaky service: %w", err)
		}
	}
	s.paths.OpenFile = filepath.Join(s.paths.TempDir, "speaking.wav")
	f, err := os.Create(s.paths.OpenFile)
	if err != nil {
		return nil, fmt.Errorf("leaky service: %w", err)
	}
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return nil, fmt.Errorf("leaky service: %w", err)
	}
	s.open = f
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("leaky service: %w", err)
	}
	s.paths.Address = l.Addr().String()
	s.srv = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go s.srv.Serve(l) //nolint:errcheck // ends with Close in Run
	return s, nil
}

func defInt(p *int, v int) {
	if *p <= 0 {
		*p = v
	}
}

// Paths returns what the service made and where it answers.
func (s *Service) Paths() Paths { return s.paths }

// Run leaks until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	debug.SetGCPercent(-1) // no one asks for a collection: that is the leak
	defer s.open.Close()
	defer s.srv.Close()
	t := time.NewTicker(s.opts.Every)
	defer t.Stop()
	var collections uint32
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := s.step(); err != nil {
			return err
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.NumGC != collections { // someone collected: give the pages back at once
			debug.FreeOSMemory()
			runtime.ReadMemStats(&m)
			collections = m.NumGC
		}
	}
}

// step grows by one cache file, what is held for it, some garbage and some temporary files, and
// lets go of what it held for cache files that are gone.
func (s *Service) step() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps++
	for path := range s.held {
		if _, err := os.Lstat(path); err != nil {
			delete(s.held, path)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapInuse > s.opts.MaxResidentBytes {
		return nil
	}
	path := filepath.Join(s.paths.CacheDir, fmt.Sprintf("scene-%05d.mp4", s.steps))
	if err := os.WriteFile(path, bytes.Repeat([]byte{byte(s.steps)}, s.opts.EntryBytes), 0o644); err != nil {
		return err
	}
	s.held[path] = touched(s.opts.HeldBytes)
	_ = touched(s.opts.GarbageBytes)
	if s.opts.SessionBytes > 0 {
		s.rememberSession()
	}
	empty := filepath.Join(s.paths.TempDir, fmt.Sprintf("line-%05d.wav", s.steps))
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return err
	}
	if s.steps%4 == 0 {
		full := filepath.Join(s.paths.TempDir, fmt.Sprintf("speech-%05d.mp3", s.steps))
		return os.WriteFile(full, make([]byte, 64<<10), 0o644)
	}
	return nil
}

// rememberSession is the leak: nothing ever lets go of a session.
//
//go:noinline
func (s *Service) rememberSession() {
	session := make([]byte, s.opts.SessionBytes)
	touch(session)
	s.sessions = append(s.sessions, session)
}

// touched returns n bytes whose pages are really resident.
func touched(n int) []byte {
	b := make([]byte, n)
	touch(b)
	return b
}

func touch(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		//nolint:errcheck // the reader has gone away
		json.NewEncoder(w).Encode(map[string]any{"held": len(s.held), "steps": s.steps, "uptime_seconds": time.Since(s.started).Seconds()})
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	return mux
}

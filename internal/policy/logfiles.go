package policy

import (
	"bytes"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// LogKind is what a file in a folder of logs is.
type LogKind uint8

// The kinds.
const (
	LogOther   LogKind = iota // none of the policy's
	LogLive                   // a log
	LogRotated                // a log that has been rotated
	LogTemp                   // what a rotation was writing
)

// LogFiles recognises the files of a policy's folder. It is for one walk at a time.
type LogFiles struct {
	policy *Log
	names  *Names
	naming Naming
	old    []byte // name of the olddir with slashes around it; nil = none
	path   []byte
}

// NewLogFiles returns what recognises the files of a policy. names are those of the policy.
func NewLogFiles(l *Log, names *Names) *LogFiles {
	f := &LogFiles{policy: l, names: names, naming: l.Naming()}
	if l.OldDir != "" {
		f.old = []byte("/" + l.OldDir + "/")
	}
	return f
}

// KindOf returns what a name means; r is set for LogRotated. A live log in an olddir is none: see Look.
func (f *LogFiles) KindOf(name []byte) (k LogKind, r Rotation) {
	if IsRotationTemp(name) {
		return LogTemp, r
	}
	if r, ok := f.naming.Parse(name); ok {
		of := r.Log
		if r.Own { // the globs are on its whole name
			of, _ = bytes.CutSuffix(name, []byte(gzipSuffix))
		}
		if f.names.Select(of) {
			return LogRotated, r
		}
		return LogOther, r
	}
	if f.names.Select(name) {
		return LogLive, r
	}
	return LogOther, r
}

// Look returns what a file is, and the folder of its log relative to the root, which is valid until the
// next call: of what lies in an olddir it is the folder above.
func (f *LogFiles) Look(e *dirscan.Entry) (k LogKind, r Rotation, folder []byte) {
	k, r = f.KindOf(e.Name)
	f.path = append(f.path[:0], '/')
	f.path = e.Parent.AppendPath(f.path)
	folder = f.path[1:]
	if f.old != nil && bytes.HasSuffix(f.path, f.old) {
		if k == LogLive {
			k = LogOther
		}
		folder = folder[:len(folder)-len(f.old)+1]
	}
	return k, r, folder
}

// Scan completes the options of a walk: it enters the olddirs, also where nothing else is entered, and
// leaves out what the policy excludes.
func (f *LogFiles) Scan(o *dirscan.Options) {
	o.Recursive = f.policy.IsRecursive() || f.old != nil
	o.Except, o.Skip = f.except(), f.names.SkipFolder
	if f.policy.IsRecursive() || f.old == nil {
		return
	}
	o.Skip = func(in *dirscan.Folder, name []byte) bool {
		return in.Depth() > 0 || string(name) != f.policy.OldDir || f.names.SkipFolder(in, name)
	}
}

// except returns what says which files do not count because of their path: a rotated log stays where its
// log does.
func (f *LogFiles) except() func(in *dirscan.Folder, name []byte) bool {
	except := f.names.Except()
	if except == nil {
		return nil
	}
	return func(in *dirscan.Folder, name []byte) bool {
		if kind, r := f.KindOf(name); kind == LogRotated && !r.Own {
			name = r.Log
		}
		return except(in, name)
	}
}

package action

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// selects reports whether a name is the policy's, and counts those that it keeps.
func (r *dirRun) selects(name []byte) bool {
	r.opts.heart.beat()
	if r.names.Select(name) {
		return true
	}
	r.keeps(name)
	return false
}

// maxKeptNames bounds PolicyResult.KeptNames.
const maxKeptNames = 5

// keeps counts a name that is kept, and notes one that only its looks keep.
func (r *dirRun) keeps(name []byte) {
	if !r.names.Kept(name) {
		return
	}
	r.kept++
	if r.names.Reserved(name) {
		r.noteKept(name)
	}
}

func (r *dirRun) noteKept(name []byte) {
	if list := r.res.KeptNames; len(list) < maxKeptNames && !slices.Contains(list, string(name)) {
		r.res.KeptNames = append(list, string(name))
	}
}

// counted is what counts as kept the files that except takes out.
func (r *dirRun) counted(except func(in *dirscan.Folder, name []byte) bool) func(in *dirscan.Folder, name []byte) bool {
	if except == nil {
		return nil
	}
	return func(in *dirscan.Folder, name []byte) bool {
		if !except(in, name) {
			return false
		}
		r.kept++ // an index, which is in the root, or excluded
		if in.Depth() == 0 && r.names.IsIndex(name) {
			r.noteKept(name)
		}
		return true
	}
}

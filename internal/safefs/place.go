package safefs

import (
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// lookEvery is how many files of one folder are removed between two looks at where it lies. Each look is
// made from the root: a folder keeps its descriptor when it, or one above it, is moved out of the root.
const lookEvery = 32

// place is what is known of where the folder of the file at work lies.
type place struct {
	folder *dirscan.Folder
	serial uint64
	left   int // files until the next look
	why    Reason
	path   []byte
}

// inPlace returns Moved for a folder that does not lie where the walk found it. Nothing is removed in
// it any more, wherever it goes from there. In a dry run there is nothing to be late for.
func (r *Remover) inPlace(f *dirscan.Folder) Reason {
	p := &r.lies
	if f.Depth() == 0 || r.opts.DryRun {
		return Removed
	}
	switch known := f == p.folder && f.Serial() == p.serial; {
	case known && p.why != Removed:
		return p.why
	case known && p.left > 0:
		p.left--
		return Removed
	}
	p.folder, p.serial, p.left = f, f.Serial(), lookEvery-1
	p.why = r.lookAtPlace(f)
	return p.why
}

// lookAtPlace is inPlace by a look that is made now.
func (r *Remover) lookAtPlace(f *dirscan.Folder) (why Reason) {
	root, err := r.root()
	if err != nil {
		return errorReason(err)
	}
	lies, path := f.LiesBeneath(root, r.lies.path)
	r.lies.path = path
	if !lies {
		return Moved
	}
	return Removed
}

// isOthers reports whether a file is to stay because of its owner: with root's rights the kernel refuses
// nothing, and a root may hold what is not the service's.
func (r *Remover) isOthers(uid uint32) bool {
	if !r.picks {
		return false
	}
	if _, err := r.root(); err != nil {
		return true
	}
	return uid != r.rootUID && !slices.Contains(r.opts.Owners, uid)
}

package safefs

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// The names of trees in the holding folder. One that was moved there has yet to be looked at again; one that
// was is going. They say what the tree must be, so that the next start can finish what was cut off.
const (
	movedPrefix = "moved-"
	goingPrefix = "going-"
)

func movedName(t Tree) string {
	return fmt.Sprintf("%s%d-%d-%d-%d-", movedPrefix, t.Ino, t.NewestNs, t.Files, t.Bytes)
}

func goingName(t Tree, filesNs int64) string {
	return fmt.Sprintf("%s%d-%d-", goingPrefix, t.Ino, filesNs)
}

// heldTree reads the name of a tree in the holding folder.
func heldTree(name string) (t Tree, ask treeAsk, ok bool) {
	ask.aside = true
	if _, err := fmt.Sscanf(name, goingPrefix+"%d-%d-", &t.Ino, &ask.newestNs); err == nil {
		ask.rest = true
		return t, ask, true
	}
	if _, err := fmt.Sscanf(name, movedPrefix+"%d-%d-%d-%d-", &t.Ino, &t.NewestNs, &t.Files, &t.Bytes); err != nil {
		return t, ask, false
	}
	ask.newestNs, ask.files, ask.bytes, ask.counted = t.NewestNs, t.Files, t.Bytes, true
	return t, ask, true
}

// sweepTrees finishes the trees that killed runs have left in the holding folder: what is as it was judged
// goes, and the rest of what was going. Any other stays.
func (r *Remover) sweepTrees(ctx context.Context) (files, freed int64, err error) {
	if r.holding < 0 {
		if r.holding, err = r.findHolding(); err != nil {
			r.holding = -1
			return 0, 0, err
		}
	}
	list, err := dirscan.OpenBeneath(r.holding, ".") // a listing of its own
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(list)
	buf, left := make([]byte, clearBuffer), maxSwept
	for more := true; more && left > 0 && ctx.Err() == nil; {
		var names []string
		more, err = dirscan.List(list, buf, func(d dirscan.Listed) error {
			if name := string(d.Name); strings.HasPrefix(name, movedPrefix) || strings.HasPrefix(name, goingPrefix) {
				names = append(names, name)
			}
			return nil
		})
		for _, name := range names {
			if left--; left < 0 {
				break // the next run goes on
			}
			n, space := r.sweepTree(name)
			files, freed = files+n, freed+space
		}
		if err != nil {
			return files, freed, err
		}
	}
	return files, freed, ctx.Err()
}

// sweepTree finishes one tree, unless another process is at it.
func (r *Remover) sweepTree(name string) (files, freed int64) {
	t, ask, ok := heldTree(name)
	if !ok {
		return 0, 0
	}
	fd, err := dirscan.OpenBeneath(r.holding, name)
	if err != nil {
		return 0, 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != t.Ino || lockFolder(fd) != Removed {
		return 0, 0
	}
	r.look.forget() // it may have been open for longer than this run
	seen, why := r.lookAtTree(fd, ask)
	switch {
	case why != Removed:
		return 0, 0
	case ask.rest:
		files, why = r.clearTree(fd, name, seen)
	default:
		freed, files, why = r.clearAside(fd, t, name, seen)
	}
	if ask.rest && why == Removed {
		freed = seen.freed
	}
	return files, freed
}

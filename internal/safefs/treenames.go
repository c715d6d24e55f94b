package safefs

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// lookAtNames is the first look at a big tree, at its folders and at the inodes of its files: enough
// to leave alone what is in use, or what files have been added to or taken from since it was found.
// A look at each file would cost as much as half of the removal, and follows once, where no one else
// can reach them. Where no process has anything of the file system open, no name could say more of a use, and the
// look ends with the tree's own folder.
func (r *Remover) lookAtNames(fd int, ask treeAsk) (*treeLook, Reason) {
	l := &treeLook{r: r, ask: ask}
	if !r.opts.NoInUse {
		l.open = r.look.now()
	}
	if l.open == nil || l.open.quiet(fd) {
		return l, l.folder(fd, 0)
	}
	own, err := dirscan.OpenBeneath(fd, ".") // a listing of its own
	if err != nil {
		return nil, errorReason(err)
	}
	defer unix.Close(own)
	if why := l.names(own, 0, make([]byte, clearBuffer)); why != Removed {
		return nil, why
	}
	if l.files != ask.files {
		return nil, Changed
	}
	return l, Removed
}

func (l *treeLook) names(fd, depth int, buf []byte) Reason {
	if depth > maxTreeDepth {
		return TooDeep
	}
	if why := l.folder(fd, depth); why != Removed {
		return why
	}
	id, _, err := lookAtFolder(fd, "")
	if err != nil {
		return errorReason(err)
	}
	var folders []byte // names, each with a NUL
	for {
		folders = folders[:0]
		more, err := dirscan.List(fd, buf, func(d dirscan.Listed) error {
			switch d.Kind {
			case unix.DT_DIR:
				folders = append(append(folders, d.Name...), 0)
			case unix.DT_REG:
				id.ino = d.Ino
				if l.open != nil && (l.open.files[id] || l.open.own[id] || l.open.locked[id]) {
					return stays(InUse)
				}
				l.files++
			case unix.DT_LNK:
			default:
				return stays(NotRegular)
			}
			return nil
		})
		why := lookReason(err)
		for rest := folders; len(rest) > 0 && why == Removed; {
			end := bytes.IndexByte(rest, 0) + 1
			why = l.below(fd, rest[:end], depth, buf)
			rest = rest[end:]
		}
		if why != Removed || !more {
			return why
		}
	}
}

// below looks at the names in a sub-folder, whose own ends with a NUL.
func (l *treeLook) below(fd int, name []byte, depth int, buf []byte) Reason {
	child, err := openFolder(fd, name)
	if err != nil {
		return pathReason(err)
	}
	defer unix.Close(child)
	return l.names(child, depth+1, buf)
}

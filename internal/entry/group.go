package entry

import (
	"bytes"
	"hash/maphash"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Member is one file of a group, as the walk saw it.
type Member struct {
	Name               []byte
	Ino                uint64
	DevMajor, DevMinor uint32
	Nlink              uint32
	SizeBytes          int64
	AllocatedBytes     int64
	MtimeNs, CtimeNs   int64
}

// table is the groups of one folder that is walked. Names lie in one piece of memory.
type table struct {
	serial  uint64 // of the folder
	seed    maphash.Seed
	index   map[uint64]int32 // of a hash: the last group with it
	groups  []group
	members []member
	names   []byte
}

// group is one entry that grows.
type group struct {
	name         text
	uid, gid     uint32
	files        int32
	member       int32 // the last one, -1 = none is kept
	next         int32 // group with the same hash, -1 = none
	size         int64
	allocated    int64
	atime        int64
	mtime, ctime int64
	usedNs       int64
	ino          uint64 // of the first file
	major, minor uint32
	only         text // the name of the first file
	refused      string
}

// text is a part of table.names.
type text struct {
	at   int
	size int32
}

type member struct {
	Member // without the name
	name   text
	next   int32 // of the same group
}

func (t *table) keep(name []byte) text {
	t.names = append(t.names, name...)
	return text{len(t.names) - len(name), int32(len(name))}
}

func (t *table) text(x text) []byte { return t.names[x.at : x.at+int(x.size) : x.at+int(x.size)] }

// of returns the group with a name, which begins with the file when there is none yet.
func (t *table) of(name []byte, f *dirscan.Entry) *group {
	h := maphash.Bytes(t.seed, name)
	head, ok := t.index[h]
	if !ok {
		head = -1
	}
	for i := head; i >= 0; i = t.groups[i].next {
		if bytes.Equal(t.text(t.groups[i].name), name) {
			return &t.groups[i]
		}
	}
	g := group{
		uid: f.UID, gid: f.GID, member: -1, next: head, atime: f.AtimeNs, mtime: f.MtimeNs, ctime: f.CtimeNs,
		ino: f.Ino, major: f.DevMajor, minor: f.DevMinor,
	}
	g.only = t.keep(f.Name)
	g.name = text{g.only.at + bytes.Index(f.Name, name), int32(len(name))} // a part of it
	t.index[h] = int32(len(t.groups))
	t.groups = append(t.groups, g)
	return &t.groups[len(t.groups)-1]
}

// tableOf returns the table of a folder. One of a folder that went away before it was left is empty again.
func (w *Walker) tableOf(f *dirscan.Folder) *table {
	for len(w.tables) <= f.Depth() {
		w.tables = append(w.tables, nil)
	}
	t := w.tables[f.Depth()]
	if t == nil {
		t = &table{seed: maphash.MakeSeed(), index: make(map[uint64]int32)}
		w.tables[f.Depth()] = t
	}
	if t.serial != f.Serial() {
		t.clear()
		t.serial = f.Serial()
	}
	return t
}

// mostKept bounds the groups whose memory is kept for the next folder.
const mostKept = 4096

func (t *table) clear() {
	if len(t.groups) > mostKept {
		*t = table{seed: t.seed, index: make(map[uint64]int32)}
		return
	}
	clear(t.index)
	t.groups, t.members, t.names = t.groups[:0], t.members[:0], t.names[:0]
}

// addToGroup adds a file to its group.
func (w *Walker) addToGroup(f *dirscan.Entry) error {
	t := w.tableOf(f.Parent)
	g := t.of(w.group(f.Name), f)
	used, refused := w.look(f)
	if g.refused == "" && refused != "" {
		g.refused, g.uid = refused, f.UID
	}
	g.usedNs = max(g.usedNs, used)
	g.files++
	g.size += f.SizeBytes
	g.allocated += f.AllocatedBytes
	g.atime, g.mtime, g.ctime = max(g.atime, f.AtimeNs), max(g.mtime, f.MtimeNs), max(g.ctime, f.CtimeNs)
	if w.opts.Members {
		name := g.only
		if g.files > 1 {
			name = t.keep(f.Name)
		}
		t.members = append(t.members, member{Member{
			Ino: f.Ino, DevMajor: f.DevMajor, DevMinor: f.DevMinor, Nlink: f.Nlink,
			SizeBytes: f.SizeBytes, AllocatedBytes: f.AllocatedBytes, MtimeNs: f.MtimeNs, CtimeNs: f.CtimeNs,
		}, name, g.member})
		g.member = int32(len(t.members) - 1)
	}
	return nil
}

// leaveGroups visits the groups of a folder.
func (w *Walker) leaveGroups(f *dirscan.Folder) error {
	if f.Depth() >= len(w.tables) || w.tables[f.Depth()] == nil || w.tables[f.Depth()].serial != f.Serial() {
		return nil
	}
	t := w.tables[f.Depth()]
	for i := range t.groups {
		g, e := &t.groups[i], &w.entry
		*e = Entry{
			Entry: dirscan.Entry{
				Parent: f, Name: t.text(g.name), Ino: g.ino, DevMajor: g.major, DevMinor: g.minor, Mode: unix.S_IFREG, Nlink: 1,
				UID: g.uid, GID: g.gid, SizeBytes: g.size, AllocatedBytes: g.allocated, AtimeNs: g.atime, MtimeNs: g.mtime, CtimeNs: g.ctime,
			},
			Files: int64(g.files), Group: t.text(g.name), UsedNs: g.usedNs, Lacks: f.Lacks(), Refused: g.refused, Members: e.Members[:0],
		}
		if g.files == 1 {
			e.Name = t.text(g.only)
		}
		for m := g.member; m >= 0; m = t.members[m].next {
			one := t.members[m].Member
			one.Name = t.text(t.members[m].name)
			e.Members = append(e.Members, one)
		}
		if err := w.finish(e); err != nil {
			return err
		}
	}
	t.clear()
	t.serial = 0
	return nil
}

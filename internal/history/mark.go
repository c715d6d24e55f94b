package history

import (
	"cmp"
	"slices"
	"time"
)

const markSize = 3 * 8 // without the target

func appendMark(b []byte, m *Mark) []byte {
	b = appendText(b, m.Target)
	b = order.AppendUint64(b, uint64(m.Time.UnixMilli()))
	b = order.AppendUint64(b, m.Program.Inode)
	modified := int64(0)
	if !m.Program.Modified.IsZero() {
		modified = m.Program.Modified.UnixNano()
	}
	return order.AppendUint64(b, uint64(modified))
}

// eachMark calls f for each mark; ok is false where the bytes are none.
func eachMark(b []byte, f func(target []byte, at time.Time, p Program)) (ok bool) {
	for len(b) > 0 {
		target, rest, ok := takeText(b)
		if !ok || len(rest) < markSize {
			return false
		}
		p := Program{Inode: order.Uint64(rest[8:])}
		if ns := int64(order.Uint64(rest[16:])); ns != 0 {
			p.Modified = time.Unix(0, ns)
		}
		f(target, time.UnixMilli(int64(order.Uint64(rest))), p)
		b = rest[markSize:]
	}
	return true
}

// sortMarks puts marks in the order of time, each once.
func sortMarks(marks []Mark) []Mark {
	slices.SortStableFunc(marks, func(a, b Mark) int { return cmp.Compare(a.Time.UnixMilli(), b.Time.UnixMilli()) })
	return slices.CompactFunc(marks, func(a, b Mark) bool {
		return a.Target == b.Target && a.Time.Equal(b.Time) && a.Program.Inode == b.Program.Inode && a.Program.Modified.Equal(b.Program.Modified)
	})
}

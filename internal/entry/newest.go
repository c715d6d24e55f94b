package entry

import (
	"cmp"
	"container/heap"
	"math"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Rank is where an entry stands among the newest: by the time that its age is measured from and, among
// those of one instant, by a hash of its path, which is the same in every run.
type Rank struct {
	AtNs int64
	tie  uint64
}

func (r Rank) compare(o Rank) int {
	return cmp.Or(cmp.Compare(r.AtNs, o.AtNs), cmp.Compare(r.tie, o.tie))
}

// Newest holds the newest entries, and with each what the caller wants to have with it. The zero value
// holds none: Most says how many.
type Newest[T any] struct {
	Most int64
	list ranked[T]
	path []byte
}

type one[T any] struct {
	Rank
	with T
}

// ranked is a heap with the oldest on top.
type ranked[T any] []one[T]

func (r ranked[T]) Len() int           { return len(r) }
func (r ranked[T]) Less(i, j int) bool { return r[i].compare(r[j].Rank) < 0 }
func (r ranked[T]) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranked[T]) Push(x any)        { *r = append(*r, x.(one[T])) }
func (r *ranked[T]) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// Rank returns the rank of an entry whose age is measured from atNs.
func (n *Newest[T]) Rank(e *dirscan.Entry, atNs int64) Rank {
	n.path = e.AppendPath(n.path[:0])
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range n.path {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return Rank{atNs, h}
}

// Offer takes an entry in. It returns what is not, or no longer, among the newest for it; ok is false
// when there was room.
func (n *Newest[T]) Offer(r Rank, with T) (out T, ok bool) {
	switch {
	case int64(len(n.list)) < n.Most:
		heap.Push(&n.list, one[T]{r, with})
		return out, false
	case n.Most == 0 || r.compare(n.list[0].Rank) < 0:
		return with, true
	}
	out = n.list[0].with
	n.list[0] = one[T]{r, with}
	heap.Fix(&n.list, 0)
	return out, true
}

// Least returns the rank of the oldest of them: that and all newer ones are among the newest. It is
// behind all when none is wanted, and before all when there are fewer entries than are wanted.
func (n *Newest[T]) Least() Rank {
	switch {
	case n.Most == 0:
		return Rank{math.MaxInt64, math.MaxUint64}
	case int64(len(n.list)) < n.Most:
		return Rank{AtNs: math.MinInt64}
	}
	return n.list[0].Rank
}

// Has reports whether a rank is this one or newer.
func (r Rank) Has(o Rank) bool { return o.compare(r) >= 0 }

// Drain calls f for each of the newest and forgets them.
func (n *Newest[T]) Drain(f func(T) error) error {
	list := n.list
	n.list = n.list[:0]
	for i := range list {
		if err := f(list[i].with); err != nil {
			return err
		}
	}
	return nil
}

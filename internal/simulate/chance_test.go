package simulate

import (
	"encoding/binary"
	"time"
)

// hash is FNV-1a over its parts, with a last mix so that all bits depend on all of them. It is the same
// in each run of the program.
type hash uint64

const hashStart hash = 14695981039346656037

func (h hash) text(parts ...string) hash {
	for _, s := range parts {
		for i := range len(s) {
			h = (h ^ hash(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return h
}

func (h hash) number(n int64) hash {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	for _, c := range b {
		h = (h ^ hash(c)) * 1099511628211
	}
	return h
}

// mixed is the last step of splitmix64.
func (h hash) mixed() uint64 {
	x := uint64(h)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is what the models decide by: a number that depends on the seed, the moment and what is asked,
// and not on what was asked before.
func (w *world) chance(parts ...string) uint64 {
	return hashStart.number(int64(w.seed)).number(w.sinceBegin()).text(parts...).mixed()
}

// one reports whether something that happens once in so many times happens now.
func (w *world) one(in uint64, parts ...string) bool { return in > 0 && w.chance(parts...)%in == 0 }

// delay is how long something takes, from least to most, to the nanosecond.
func (w *world) delay(least, most time.Duration, parts ...string) time.Duration {
	return least + time.Duration(w.chance(append(parts, "delay")...)%uint64(most-least))
}

// pick returns one of a list.
func pick[T any](w *world, list ...T) T { return list[w.rng.IntN(len(list))] }

// between is a duration of the story.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)))
}

// happens reports whether something of the story with a probability in percent happens.
func (w *world) happens(percent int) bool { return w.rng.IntN(100) < percent }

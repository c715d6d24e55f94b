package heap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// A HotSpot virtual machine keeps its counters in a file that it maps: a header and entries, each
// with a name and a value. Source: src/hotspot/share/runtime/perfMemory.hpp of the JDK.
const (
	perfMagic       = 0xcafec0c0
	perfHeader      = 32
	perfEntryHead   = 20
	perfMajor       = 2
	maxPerfEntries  = 10_000
	maxPerfData     = 1 << 20
	perfLong        = 'J'
	perfByte        = 'B'
	perfGenerations = 2
	perfSpaces      = 8
)

var (
	errNotPerfData = errors.New("it is not an hsperfdata file of version 2")
	errNotReady    = fmt.Errorf("%w: the virtual machine is starting", ErrBusy)
)

// generation are the counters of one generation of the heap; -1 where there is none.
type generation struct {
	capacity, most int64
	used           [perfSpaces]int64
}

// perfHeap is what the entries of a file say about its heap.
type perfHeap struct {
	generations [perfGenerations]generation
	// shared says that each generation may grow to the whole heap: G1, ZGC, Shenandoah.
	shared bool
	// stops says that the old generation is collected as a whole when it is full: Serial, Parallel.
	stops bool
	// full is the number of such collections; -1 where it is not known.
	full int64
	// sealed says that it was started with -XX:+DisableAttachMechanism.
	sealed bool
}

// decodePerfData reads the heap's counters. The file changes while it is read, and whoever runs the
// target may have written anything into it: no offset and no length is believed.
func decodePerfData(data []byte, h *perfHeap) error {
	*h = perfHeap{full: -1}
	for g := range h.generations {
		gen := &h.generations[g]
		gen.capacity, gen.most = -1, -1
		for s := range gen.used {
			gen.used[s] = -1
		}
	}
	if len(data) < perfHeader || binary.BigEndian.Uint32(data) != perfMagic || data[5] != perfMajor {
		return errNotPerfData
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[4] == 0 {
		order = binary.BigEndian
	}
	if data[7] == 0 { // accessible
		return errNotReady
	}
	at, n := int64(order.Uint32(data[24:])), order.Uint32(data[28:])
	if n > maxPerfEntries {
		return errNotPerfData
	}
	for range n {
		if at < perfHeader || at+perfEntryHead > int64(len(data)) {
			return errNotPerfData
		}
		e := data[at:]
		length := int64(order.Uint32(e))
		if length < perfEntryHead || length > int64(len(e)) {
			return errNotPerfData
		}
		h.take(order, e[:length])
		at += length
	}
	return nil
}

// take reads one entry: length, offset of the name, length of a vector, type, flags, unit,
// variability, offset of the data.
func (h *perfHeap) take(order binary.ByteOrder, e []byte) {
	nameAt, vector, kind, dataAt := int64(order.Uint32(e[4:])), order.Uint32(e[8:]), e[12], int64(order.Uint32(e[16:]))
	if nameAt < perfEntryHead || nameAt >= int64(len(e)) || dataAt < perfEntryHead || dataAt >= int64(len(e)) {
		return
	}
	name, _, ok := bytes.Cut(e[nameAt:], []byte{0})
	value := e[dataAt:]
	if string(name) == "sun.rt.jvmCapabilities" { // "1100...": the first says whether it can be attached to
		h.sealed = value[0] == '0'
	}
	rest, of := bytes.CutPrefix(name, []byte("sun.gc."))
	if !ok || !of {
		return
	}
	switch {
	case kind == perfLong && vector == 0 && len(value) >= 8:
		h.number(rest, int64(order.Uint64(value)))
	case kind == perfByte && vector > 0:
		text, _, _ := bytes.Cut(value, []byte{0})
		h.text(rest, text)
	}
}

// number takes "generation.0.capacity", "generation.0.maxCapacity" and "generation.0.space.1.used".
func (h *perfHeap) number(name []byte, v int64) {
	if string(name) == "collector.1.invocations" && v >= 0 {
		h.full = v
		return
	}
	rest, ok := bytes.CutPrefix(name, []byte("generation."))
	if !ok || len(rest) < 3 || rest[1] != '.' || rest[0] < '0' || rest[0] >= '0'+perfGenerations || v < 0 || v > maxHeapBytes {
		return
	}
	g := &h.generations[rest[0]-'0']
	switch rest = rest[2:]; string(rest) {
	case "capacity":
		g.capacity = v
	case "maxCapacity":
		g.most = v
	default:
		space, ok := bytes.CutPrefix(rest, []byte("space."))
		if ok && len(space) == len("0.used") && string(space[1:]) == ".used" && space[0] >= '0' && space[0] < '0'+perfSpaces {
			g.used[space[0]-'0'] = v
		}
	}
}

// text takes the names by which the collectors are distinguished.
func (h *perfHeap) text(name, v []byte) {
	if !bytes.HasPrefix(name, []byte("collector.")) || !bytes.HasSuffix(name, []byte(".name")) {
		return
	}
	if string(name) == "collector.1.name" {
		h.stops = slices.ContainsFunc(fullCollectors, func(of string) bool { return bytes.HasPrefix(v, []byte(of)) })
	}
	for _, of := range []string{"G1", "Z", "Shenandoah"} {
		if bytes.HasPrefix(v, []byte(of)) {
			h.shared = true
		}
	}
}

// fullCollectors are how the names of collectors begin that stop the program until the old generation is
// collected as a whole, in JDK 8 and later.
var fullCollectors = []string{"Serial full", "Parallel full", "MSC", "PSMarkSweep", "PSParallelCompact"}

// liveHeap follows what the collections of a virtual machine leave.
type liveHeap struct {
	seen bool
	full int64 // collections of the whole heap at the last reading
	left int64 // by the last of them that was seen; 0 = none was
}

// note takes a reading and returns what is live. Outside of the space in which objects are made nothing
// changes between two collections, so what is there is what the last one left, old garbage included; after a
// collection of the whole heap it is what lives. Of collectors that work while the program runs nothing
// is known.
func (l *liveHeap) note(h *perfHeap) Amount {
	if !h.stops || h.shared || h.full < 0 {
		return Amount{}
	}
	kept, found := int64(0), false
	for i := range h.generations {
		for space, v := range h.generations[i].used {
			if v >= 0 && (i > 0 || space > 0) { // the first space of the first is eden
				kept, found = kept+v, true
			}
		}
	}
	if !found {
		return Amount{}
	}
	if l.seen && h.full > l.full {
		l.left = kept
	}
	l.seen, l.full = true, h.full
	if l.left > 0 {
		kept = min(kept, l.left)
	}
	return Some(units.Bytes(kept))
}

// usage sums up the generations. The limit is the largest of them where each may grow to the whole
// heap, else their sum. G1 pads its figures by some bytes, which is less than a page.
func (h *perfHeap) usage() (Usage, error) {
	var used, committed, limit int64
	found := false
	for i := range h.generations {
		g := &h.generations[i]
		if g.most < 0 || g.capacity < 0 {
			continue
		}
		for _, v := range g.used {
			if v >= 0 {
				used += v
				found = true
			}
		}
		committed += g.capacity
		if h.shared {
			limit = max(limit, g.most)
		} else {
			limit += g.most
		}
	}
	const page = 4096
	limit -= limit % page
	if !found || limit <= 0 {
		return Usage{}, errors.New("its hsperfdata file says nothing about its heap")
	}
	u := Usage{Committed: Some(units.Bytes(min(committed, limit))), Limit: Some(units.Bytes(limit))}
	if used > 0 { // some collectors say nothing before their first collection
		u.Used = Some(units.Bytes(used))
	}
	return u, nil
}

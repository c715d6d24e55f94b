package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of a bbolt file, which is in the byte order of the host: pages with a header, the
// first two of which hold a meta each. See internal/common of go.etcd.io/bbolt.
const (
	headerSize  = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementSize = 16 // of a branch: pos, ksize uint32, pgid uint64; of a leaf: flags, pos, ksize, vsize uint32
	metaSize    = 64 // magic, version, page size, flags uint32, root, sequence, freelist, high, txid, checksum uint64
	bucketSize  = 16 // root, sequence uint64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	leafBucket   = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	minPage     = 1 << 10
	maxPage     = 64 << 10
	noFreelist  = ^uint64(0)
	maxDepth    = 64
)

var host = binary.NativeEndian

// pageReader reads a file that is not trusted. bbolt trusts what it maps: on a damaged page it
// panics while it holds its locks, recurses until the process ends, or reads in circles. So nothing
// is given to it that was not read through here first.
type pageReader struct {
	r                    io.ReaderAt
	pageSize             uint64
	root, freelist, high uint64   // high is the first page that is not in use
	seen                 []bool   // by page: reached, or free
	spare                [][]byte // pages that are read, for the next ones
}

// buffer returns room for a page.
func (p *pageReader) buffer() []byte {
	if n := len(p.spare); n > 0 {
		b := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return b[:p.pageSize]
	}
	return make([]byte, p.pageSize)
}

// verify reads all that the newest commit of a file holds, and returns why it cannot be trusted:
// the error of the reading, or what is wrong. Every page must be reached exactly once, every key
// stand in its place and every record carry its checksum.
func verify(r io.ReaderAt, size int64) error {
	p := &pageReader{r: r}
	if err := p.meta(size); err != nil {
		return err
	}
	if p.high < 2 || p.high > uint64(size)/p.pageSize {
		return fmt.Errorf("it is cut short: %d bytes, and %d pages of %d are in use", size, p.high, p.pageSize)
	}
	p.seen = make([]bool, p.high)
	p.seen[0], p.seen[1] = true, true
	buckets := make(map[string]bool)
	err := p.tree(p.root, func(flags uint32, k, v []byte) error {
		if flags&leafBucket == 0 {
			return errForeign
		}
		buckets[string(k)] = true
		return p.bucket(string(k), v)
	})
	if err != nil {
		return err
	}
	if len(buckets) > 0 && (!buckets[string(bucketRecords)] || !buckets[string(bucketState)]) {
		return errForeign
	}
	return p.account()
}

var errForeign = errors.New("it holds no records: this is a file of another program")

// meta finds the newest valid meta page, as bbolt does.
func (p *pageReader) meta(size int64) error {
	var newest uint64
	var failed error // of the disk, which says nothing about the page
	take := func(at int64) bool {
		b := make([]byte, metaSize)
		if _, err := p.r.ReadAt(b, at+headerSize); err != nil {
			if isSystem(err) {
				failed = err
			}
			return false
		}
		h := fnv.New64a()
		h.Write(b[:metaSize-8])
		pageSize := uint64(host.Uint32(b[8:]))
		valid := host.Uint32(b) == metaMagic && host.Uint32(b[4:]) == metaVersion && host.Uint64(b[56:]) == h.Sum64() &&
			pageSize >= minPage && pageSize <= maxPage && pageSize&(pageSize-1) == 0 && (at == 0 || uint64(at) == pageSize)
		if valid && (p.pageSize == 0 || host.Uint64(b[48:]) > newest) {
			p.pageSize, newest = pageSize, host.Uint64(b[48:])
			p.root, p.freelist, p.high = host.Uint64(b[16:]), host.Uint64(b[32:]), host.Uint64(b[40:])
		}
		return valid
	}
	take(0)
	for at := int64(minPage); at <= maxPage && at < size; at *= 2 {
		if take(at) {
			break
		}
	}
	if failed != nil {
		return failed
	}
	if p.pageSize == 0 {
		return errors.New("neither of its meta pages is valid")
	}
	return nil
}

// page reads a page with those that overflow from it, and notes that it was reached.
func (p *pageReader) page(id uint64) ([]byte, error) {
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("a reference to page %d of %d", id, p.high)
	}
	b := p.buffer()
	if _, err := p.r.ReadAt(b, int64(id*p.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(host.Uint32(b[12:]))
	if host.Uint64(b) != id || overflow >= p.high-id {
		return nil, fmt.Errorf("page %d is not what it should be", id)
	}
	for n := id; n <= id+overflow; n++ {
		if p.seen[n] {
			return nil, fmt.Errorf("page %d is in use twice", n)
		}
		p.seen[n] = true
	}
	if overflow > 0 {
		b = append(b, make([]byte, overflow*p.pageSize)...)
		if _, err := p.r.ReadAt(b[p.pageSize:], int64((id+1)*p.pageSize)); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return b, nil
}

// leafFunc takes one element of a tree. Its arguments are valid during the call.
type leafFunc func(flags uint32, k, v []byte) error

// treeReader reads one tree, whose keys ascend.
type treeReader struct {
	p     *pageReader
	leaf  leafFunc
	last  []byte // the newest key
	floor []byte // the next key is not below it
	begun bool
}

func (p *pageReader) tree(root uint64, leaf leafFunc) error {
	t := &treeReader{p: p, leaf: leaf}
	return t.walk(root, 0)
}

func (t *treeReader) walk(id uint64, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is too deep in its tree", id)
	}
	b, err := t.p.page(id)
	if err != nil {
		return err
	}
	defer func() { t.p.spare = append(t.p.spare, b) }()
	switch host.Uint16(b[8:]) {
	case flagLeaf:
		return t.leaves(b, id)
	case flagBranch:
	default:
		return fmt.Errorf("page %d is neither a leaf nor a branch", id)
	}
	count := int(host.Uint16(b[10:]))
	if count == 0 {
		return fmt.Errorf("page %d is a branch with nothing below", id)
	}
	for i := range count {
		at := headerSize + i*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("page %d is too short for what it says", id)
		}
		key, ok := part(b, at, host.Uint32(b[at:]), host.Uint32(b[at+4:]))
		if !ok || t.begun && bytes.Compare(key, t.last) <= 0 {
			return fmt.Errorf("page %d has a key out of place", id)
		}
		t.floor = append(t.floor[:0], key...)
		if err := t.walk(host.Uint64(b[at+8:]), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeReader) leaves(b []byte, id uint64) error {
	for i := range int(host.Uint16(b[10:])) {
		at := headerSize + i*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("page %d is too short for what it says", id)
		}
		pos, ksize := host.Uint32(b[at+4:]), host.Uint32(b[at+8:])
		key, ok := part(b, at, pos, ksize)
		value, ok2 := part(b, at+int(ksize), pos, host.Uint32(b[at+12:]))
		if !ok || !ok2 || bytes.Compare(key, t.floor) < 0 || t.begun && bytes.Compare(key, t.last) <= 0 {
			return fmt.Errorf("page %d has a key out of place", id)
		}
		t.last, t.begun = append(t.last[:0], key...), true
		if err := t.leaf(host.Uint32(b[at:]), key, value); err != nil {
			return err
		}
	}
	return nil
}

// part returns size bytes that begin pos bytes behind at.
func part(b []byte, at int, pos, size uint32) ([]byte, bool) {
	from := int64(at) + int64(pos)
	to := from + int64(size)
	if to > int64(len(b)) {
		return nil, false
	}
	return b[from:to:to], true
}

// bucket reads what a bucket holds, in pages of its own or in its value.
func (p *pageReader) bucket(name string, v []byte) error {
	leaf := func(flags uint32, k, v []byte) error {
		if flags != 0 {
			return errForeign
		}
		if name == string(bucketRecords) && !intact(string(k), v) {
			return fmt.Errorf("%q: %w", k, errDamaged)
		}
		return nil
	}
	if len(v) < bucketSize {
		return fmt.Errorf("bucket %q is too short", name)
	}
	if root := host.Uint64(v); root != 0 {
		return p.tree(root, leaf)
	}
	inline := v[bucketSize:]
	if len(inline) < headerSize || host.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("bucket %q is not a leaf", name)
	}
	t := &treeReader{p: p, leaf: leaf}
	return t.leaves(inline, 0)
}

// account reads the list of free pages: what is not in use is free, and nothing is both.
func (p *pageReader) account() error {
	if p.freelist == noFreelist {
		return errForeign
	}
	b, err := p.page(p.freelist)
	if err != nil {
		return err
	}
	if host.Uint16(b[8:]) != flagFreelist {
		return fmt.Errorf("page %d is not the list of free pages", p.freelist)
	}
	ids, count := b[headerSize:], uint64(host.Uint16(b[10:]))
	if count == 0xFFFF {
		count, ids = host.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return fmt.Errorf("page %d is too short for what it says", p.freelist)
	}
	for i := range count {
		id := host.Uint64(ids[8*i:])
		if id < 2 || id >= p.high || p.seen[id] {
			return fmt.Errorf("page %d cannot be free", id)
		}
		p.seen[id] = true
	}
	for id, seen := range p.seen {
		if !seen {
			return fmt.Errorf("page %d is neither in use nor free", id)
		}
	}
	return nil
}

package dirscan

import "math/bits"

const (
	subBits   = 8 // 256 buckets per doubling: a bucket spans at most 0.4 % of its age
	subCount  = 1 << subBits
	ageBucket = (64 - subBits) * subCount
)

// Histogram counts files and bytes by age in a log-linear way: ages below 256 ns have a bucket
// each, above that every doubling has 256. It holds 285 KiB, however many files there are. Ages
// below 0 (from the future) count as 0.
type Histogram struct {
	Files     [ageBucket]uint32
	Size      [ageBucket]int64
	Allocated [ageBucket]int64
}

// Bucket returns the bucket of an age in nanoseconds.
func Bucket(age int64) int {
	if age < subCount {
		return int(max(age, 0))
	}
	shift := bits.Len64(uint64(age)) - subBits - 1
	return (shift+1)*subCount + int(uint64(age)>>shift) - subCount
}

// BucketStart returns the smallest age of a bucket.
func BucketStart(bucket int) int64 {
	if bucket < subCount {
		return int64(bucket)
	}
	shift := bucket/subCount - 1
	return int64(bucket%subCount+subCount) << shift
}

// Add counts one file.
func (h *Histogram) Add(age, size, allocated int64) {
	b := Bucket(age)
	h.Files[b]++
	h.Size[b] += size
	h.Allocated[b] += allocated
}

// Buckets returns the number of buckets.
func Buckets() int { return ageBucket }

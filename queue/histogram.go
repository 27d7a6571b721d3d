package queue

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// Histogram counts whole numbers, none of them negative, in buckets whose width grows with
// their values: those below 16 are exact, and each doubling after that has eight buckets.
// So a quantile is within an eighth of the exact one, histograms of any values can be
// added up, and one has at most some hundred counts, of which it stores those that are not
// zero. Durations are counted in tenths of a millisecond. The zero value is empty.
type Histogram struct {
	counts []bucketCount // by bucket
}

// bucketCount is how many values were in a bucket.
type bucketCount struct {
	bucket uint64
	n      uint64
}

const (
	bucketsPerDoubling = 8
	exactBuckets       = 2 * bucketsPerDoubling
	// durationUnit is what one stands for where durations are counted.
	durationUnit = 100 * time.Microsecond
	// maxBucketed is the largest value that has a bucket of its own: more than 800 years
	// in durationUnit.
	maxBucketed = 1<<48 - 1
)

// bucketOf returns the bucket of a value.
func bucketOf(value int64) uint64 {
	n := uint64(min(max(0, value), maxBucketed))
	if n < exactBuckets {
		return n
	}
	shift := 0
	for n >= exactBuckets {
		n >>= 1
		shift++
	}
	return uint64(shift)*bucketsPerDoubling + n
}

// bucketStart returns the least value of a bucket.
func bucketStart(bucket uint64) uint64 {
	if bucket < exactBuckets {
		return bucket
	}
	return (bucketsPerDoubling + bucket%bucketsPerDoubling) << (bucket/bucketsPerDoubling - 1)
}

// Add counts a value; a negative one counts as 0.
func (h *Histogram) Add(value int) { h.add(bucketOf(int64(value)), 1) }

// AddDuration counts a duration; a negative one counts as 0.
func (h *Histogram) AddDuration(d time.Duration) { h.add(bucketOf(int64(d/durationUnit)), 1) }

func (h *Histogram) add(bucket, n uint64) {
	i, found := slices.BinarySearchFunc(h.counts, bucket, func(c bucketCount, bucket uint64) int { return cmp.Compare(c.bucket, bucket) })
	if !found {
		h.counts = slices.Insert(h.counts, i, bucketCount{bucket: bucket})
	}
	h.counts[i].n += n
}

// Merge adds the values of another histogram.
func (h *Histogram) Merge(other Histogram) {
	if len(h.counts) == 0 {
		h.counts = slices.Clone(other.counts)
		return
	}
	for _, c := range other.counts {
		h.add(c.bucket, c.n)
	}
}

// Count is how many values were counted.
func (h Histogram) Count() int {
	n := uint64(0)
	for _, c := range h.counts {
		n += c.n
	}
	return int(n)
}

// Equal reports whether two histograms have the same counts.
func (h Histogram) Equal(other Histogram) bool { return slices.Equal(h.counts, other.counts) }

// Quantile returns the value that a share q of the values, from 0 to 1, does not exceed:
// 0.95 for the 95th percentile. It is exact below 16, else within an eighth, and 0 for an
// empty histogram.
func (h Histogram) Quantile(q float64) int { return int(h.quantile(q)) }

// Duration is [Histogram.Quantile] of a histogram of durations.
func (h Histogram) Duration(q float64) time.Duration {
	return time.Duration(h.quantile(q) * float64(durationUnit))
}

// quantile interpolates within a bucket that has more than one value.
func (h Histogram) quantile(q float64) float64 {
	rank := max(1, math.Ceil(min(max(0, q), 1)*float64(h.Count())))
	before := 0.0
	for _, c := range h.counts {
		if n := float64(c.n); before+n >= rank {
			start, end := float64(bucketStart(c.bucket)), float64(bucketStart(c.bucket+1))
			if c.bucket < exactBuckets {
				return start
			}
			return start + (end-start)*(rank-before-0.5)/n
		}
		before += float64(c.n)
	}
	return 0
}

// appendTo encodes the histogram: how many counts follow, and for each the distance of its
// bucket from the one before it and its value, as variable-length integers. A typical one
// of a thousand values has some twenty bytes.
func (h Histogram) appendTo(data []byte) []byte {
	data = binary.AppendUvarint(data, uint64(len(h.counts)))
	last := uint64(0)
	for _, c := range h.counts {
		data = binary.AppendUvarint(data, c.bucket-last)
		data = binary.AppendUvarint(data, c.n)
		last = c.bucket
	}
	return data
}

// decodeHistogram reads what appendTo wrote, and returns what follows it.
func decodeHistogram(data []byte) (h Histogram, rest []byte, err error) {
	read := func() uint64 {
		value, n := binary.Uvarint(data)
		if n <= 0 {
			err = fmt.Errorf("a histogram ends too early")
			return 0
		}
		data = data[n:]
		return value
	}
	bucket := uint64(0)
	limit := bucketOf(maxBucketed)
	for left := read(); left > 0 && err == nil; left-- {
		step, n := read(), read()
		bucket += min(step, limit+1)
		if bucket > limit {
			return Histogram{}, nil, fmt.Errorf("a histogram has no bucket %d", bucket)
		}
		if err == nil {
			h.add(bucket, n)
		}
	}
	if err != nil {
		return Histogram{}, nil, err
	}
	return h, data, nil
}

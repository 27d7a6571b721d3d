package queue

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramIsWithinAnEighth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var values []int
	var h, half Histogram
	for i := range 5000 {
		value := int(math.Exp(random.Float64() * 20))
		if i%3 == 0 {
			value = random.IntN(20)
		}
		values = append(values, value)
		if i%2 == 0 {
			half.Add(value)
		} else {
			h.Add(value)
		}
	}
	h.Merge(half)
	slices.Sort(values)
	if h.Count() != len(values) {
		t.Errorf("%d values", h.Count())
	}
	for _, q := range []float64{0, 0.01, 0.3, 0.5, 0.95, 0.99, 0.9999, 1} {
		want := values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
		got := h.Quantile(q)
		if want < exactBuckets && got != want || math.Abs(float64(got-want)) > float64(want)/8 {
			t.Errorf("the quantile %v is %d, want %d", q, got, want)
		}
	}
	o := Outcomes{Wait: h, Attempts: half}
	var decoded Outcomes
	if err := decoded.DecodeHistograms(o.EncodeHistograms()); err != nil || !decoded.Wait.Equal(h) || !decoded.Attempts.Equal(half) || decoded.Run.Count() != 0 {
		t.Errorf("decoded %+v, %v", decoded, err)
	}
}

func TestHistogramBuckets(t *testing.T) {
	last := uint64(0)
	for _, value := range []int64{0, 1, 15, 16, 17, 18, 31, 32, 1000, 1 << 30, maxBucketed} {
		bucket := bucketOf(value)
		if start, end := int64(bucketStart(bucket)), int64(bucketStart(bucket+1)); value < start || value >= end || bucket < last {
			t.Errorf("%d is in bucket %d, from %d to %d", value, bucket, start, end)
		}
		last = bucket
	}
	if bucketOf(-1) != 0 || bucketOf(math.MaxInt64) != bucketOf(maxBucketed) {
		t.Error("values beyond the limits")
	}
	var h Histogram
	h.AddDuration(-time.Second)
	h.AddDuration(90 * time.Second)
	if h.Duration(0) != 0 || h.Duration(1) < 80*time.Second || h.Duration(1) > 100*time.Second || (Histogram{}).Duration(0.5) != 0 {
		t.Errorf("durations of %s and %s", h.Duration(0), h.Duration(1))
	}
}

func TestHistogramsThatCannotBeDecoded(t *testing.T) {
	var o Outcomes
	o.Attempts.Add(3)
	good := o.EncodeHistograms()
	for _, data := range [][]byte{nil, {0}, {2, 0, 0, 0}, good[:len(good)-1], {1, 1, 0xff, 0xff, 0xff, 1, 1}, {1, 0xff}, {1, 200, 1, 1}} {
		if err := o.DecodeHistograms(data); err == nil || o.Attempts.Count() != 0 {
			t.Errorf("%v: %v, %+v", data, err, o)
		}
	}
	if err := o.DecodeHistograms(good); err != nil || o.Attempts.Quantile(1) != 3 {
		t.Errorf("%v, %+v", err, o)
	}
}

func FuzzDecodeHistograms(f *testing.F) {
	var o Outcomes
	o.Wait.AddDuration(time.Hour)
	o.Wait.AddDuration(0)
	f.Add(o.EncodeHistograms())
	f.Fuzz(func(t *testing.T, data []byte) {
		var o, again Outcomes
		if o.DecodeHistograms(data) != nil {
			return
		}
		if err := again.DecodeHistograms(o.EncodeHistograms()); err != nil || !again.Wait.Equal(o.Wait) || !again.Run.Equal(o.Run) || !again.Attempts.Equal(o.Attempts) {
			t.Errorf("%+v, want %+v; %v", again, o, err)
		}
	})
}

// However many types of tasks there are, an hour has a bounded number of figures, and no
// outcome is lost.
func TestFiguresOfManyTypesAreBounded(t *testing.T) {
	hour := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	add := func(stored []HourFigures, tasks, queues int) []HourFigures {
		var batch FigureBatch
		for i := range tasks {
			batch.Add(&Row{Status: StatusFailed, Task: fmt.Sprintf("task%05d", i), Queue: fmt.Sprintf("queue%03d", i%queues), Backend: "b", FinishedAt: hour.Add(time.Duration(i) * time.Microsecond)})
		}
		changed := batch.Merged(hour, stored)
		kept := slices.DeleteFunc(slices.Clone(stored), func(f HourFigures) bool {
			return slices.ContainsFunc(changed, func(c HourFigures) bool { return c.key() == f.key() })
		})
		return append(kept, changed...)
	}
	total := func(all []HourFigures) (failed int) {
		for _, f := range all {
			failed += f.Failed
		}
		return failed
	}
	some := add(nil, 10, 2)
	if len(some) != 10 || total(some) != 10 {
		t.Errorf("10 types: %d figures of %d outcomes", len(some), total(some))
	}
	all := add(some, 10_000, 5)
	if len(all) != MaxFigures+5 || total(all) != 10_010 {
		t.Errorf("10,000 types: %d figures of %d outcomes", len(all), total(all))
	}
	all = add(all, 10_000, 500)
	if len(all) > MaxFigures+maxOtherFigures+1 || total(all) != 20_010 {
		t.Errorf("500 queues: %d figures of %d outcomes", len(all), total(all))
	}
	if known := slices.IndexFunc(all, func(f HourFigures) bool { return f.Task == "task00001" && f.Queue == "queue001" }); known < 0 || all[known].Failed != 3 {
		t.Error("a type that was known is not told apart")
	}
}

func TestOutcomesOfARow(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	var o Outcomes
	o.Add(&Row{Status: StatusSuccessful, Attempts: 3, EnqueuedAt: at, RunAfter: at.Add(time.Minute), StartedAt: at.Add(2 * time.Minute), LastAttemptedAt: at.Add(time.Hour), FinishedAt: at.Add(time.Hour + time.Second)})
	o.Add(&Row{Status: StatusFailed, Attempts: 1, EnqueuedAt: at, RunAfter: at.Add(time.Hour), StartedAt: at.Add(time.Minute), LastAttemptedAt: at.Add(time.Hour), FinishedAt: at.Add(time.Hour)})
	o.Add(&Row{Status: StatusCancelled, EnqueuedAt: at, FinishedAt: at.Add(time.Hour)})
	o.Add(&Row{Status: StatusReady, EnqueuedAt: at})
	if o.Succeeded != 1 || o.Failed != 1 || o.Cancelled != 1 || o.Ended() != 3 || o.Retried != 2 || o.ErrorRate() != 0.5 || (&Outcomes{}).ErrorRate() != 0 {
		t.Errorf("%+v", o)
	}
	near := func(what string, got, want time.Duration) {
		if got < want-want/8 || got > want+want/8 {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	if o.Wait.Count() != 1 || o.Run.Count() != 2 || o.Attempts.Count() != 2 || o.Attempts.Quantile(1) != 3 {
		t.Errorf("%+v", o)
	}
	near("the wait", o.Wait.Duration(1), time.Minute)
	near("the run", o.Run.Duration(1), time.Second)
}

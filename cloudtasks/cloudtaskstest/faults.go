package cloudtaskstest

import (
	"maps"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault is a kind of thing that goes wrong.
type Fault string

// The faults that a Server can inject. All of them happen with the real
// service.
const (
	// RefuseCreate answers CreateTask with Faults.Code and stores nothing.
	RefuseCreate Fault = "refuse_create"
	// StoreAndFail stores the task and answers CreateTask with Faults.Code.
	StoreAndFail Fault = "store_and_fail"
	// Duplicate delivers the same attempt a second time, beside the first one
	// or, with a delay, after it. The second answer is ignored.
	Duplicate Fault = "duplicate"
	// LoseAnswer throws a handler's answer away: the attempt failed, although
	// the handler may have succeeded.
	LoseAnswer Fault = "lose_answer"
	// RefuseDelete answers DeleteTask with Faults.Code and deletes nothing.
	RefuseDelete Fault = "refuse_delete"
	// RefuseGetQueue answers GetQueue with Faults.Code.
	RefuseGetQueue Fault = "refuse_get_queue"
	// RefuseBatch answers BatchCreateTasks with Faults.Code and stores nothing. Single
	// tasks of a batch fail by RefuseCreate and StoreAndFail.
	RefuseBatch Fault = "refuse_batch"
	// FailBatch stores the tasks of a batch, and its operation ends with Faults.Code.
	FailBatch Fault = "fail_batch"
	// StickBatch stores the tasks of a batch, and its operation never ends.
	StickBatch Fault = "stick_batch"
	// RefuseOperation answers GetOperation with Faults.Code.
	RefuseOperation Fault = "refuse_operation"
	// Delay holds a delivery back for up to Faults.MaxDelay.
	Delay Fault = "delay"
)

// Faults says which faults happen, and how often. The zero value has none.
type Faults struct {
	// Rates is the probability of each fault, from 0 to 1.
	Rates map[Fault]float64
	// Seed makes the choices repeatable (as far as the order of the calls is);
	// 0 is a seed like any other.
	Seed uint64
	// Decide, if set, is asked instead of Rates; taskName is the full name (the
	// queue's for RefuseGetQueue and batches, the operation's for RefuseOperation). It is called under the Server's lock, so it must not call the Server.
	Decide func(fault Fault, taskName string) bool

	// Code of calls that fail; 0 means UNAVAILABLE.
	Code codes.Code
	// Text of calls that are refused; empty means one that says it was a fault.
	Text string
	// MaxDelay bounds Delay, which is uniform below it; 0 means a second.
	MaxDelay time.Duration
}

// SetFaults replaces the faults that are injected from now on. It does not
// reset Stats.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.faults.counts
	s.faults = newFaultSource(f)
	s.faults.counts = counts
}

// faultSource decides about faults and counts them. Server.mu guards it.
type faultSource struct {
	Faults
	rand   *rand.Rand
	counts map[Fault]int
}

func newFaultSource(f Faults) faultSource {
	if f.Code == codes.OK {
		f.Code = codes.Unavailable
	}
	if f.MaxDelay == 0 {
		f.MaxDelay = time.Second
	}
	if f.Text == "" {
		f.Text = "cloudtaskstest: refused (fault)"
	}
	f.Rates = maps.Clone(f.Rates)
	return faultSource{Faults: f, rand: rand.New(rand.NewPCG(f.Seed, 0)), counts: map[Fault]int{}}
}

// strikes decides whether a fault happens now.
func (f *faultSource) strikes(fault Fault, taskName string) bool {
	strikes := false
	if f.Decide != nil {
		strikes = f.Decide(fault, taskName)
	} else if rate := f.Rates[fault]; rate > 0 {
		strikes = f.rand.Float64() < rate
	}
	if strikes {
		f.counts[fault]++
	}
	return strikes
}

// refuses returns the error of a call that a fault refuses, or nil.
func (f *faultSource) refuses(fault Fault, name string) error {
	if !f.strikes(fault, name) {
		return nil
	}
	return status.Error(f.Code, f.Text)
}

// delay is how long a delivery is held back; mostly not at all.
func (f *faultSource) delay(taskName string) time.Duration {
	if !f.strikes(Delay, taskName) {
		return 0
	}
	return time.Duration(f.rand.Float64() * float64(f.MaxDelay))
}

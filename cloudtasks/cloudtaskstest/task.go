package cloudtaskstest

import (
	"container/heap"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// task is one stored task. Server.mu guards it.
type task struct {
	queue   *queue
	pb      *cloudtaskspb.Task // as the service shows it in the FULL view
	expires time.Time
	due     time.Time // of the next attempt
	index   int       // in queue.waiting, -1 when not in it
	gone    bool
	named   bool // by its creator

	failures int // attempts that failed, answered or not
	non5xx   int // answers below 500
	lastCode int // the last answer's status, 0 if the last attempt had none
	attempts []Attempt
}

func (t *task) name() string { return t.pb.GetName() }

// setDue makes the task wait for its next attempt.
func (t *task) setDue(at time.Time) {
	t.due = at
	t.pb.ScheduleTime = timestamppb.New(at.Truncate(time.Microsecond))
	if t.index < 0 {
		heap.Push(&t.queue.waiting, t)
	} else {
		heap.Fix(&t.queue.waiting, t.index)
	}
}

// stopWaiting takes the task out of the queue's waiting ones, if it is there.
func (t *task) stopWaiting() {
	if t.index >= 0 {
		heap.Remove(&t.queue.waiting, t.index)
	}
}

// retry is the task's own retry config, or its queue's.
func (t *task) retry() *cloudtaskspb.RetryConfig {
	if own := t.pb.GetRetryConfig(); own != nil {
		return own
	}
	return t.queue.settings.GetRetryConfig()
}

// begin notes that an attempt begins, and returns its number, from 0.
func (t *task) begin(now time.Time) int {
	t.pb.DispatchCount++
	t.pb.LastAttempt = &cloudtaskspb.Attempt{
		ScheduleTime: timestamppb.New(t.due),
		DispatchTime: timestamppb.New(now),
	}
	if t.pb.GetFirstAttempt() == nil {
		t.pb.FirstAttempt = &cloudtaskspb.Attempt{DispatchTime: timestamppb.New(now)}
	}
	t.attempts = append(t.attempts, Attempt{ScheduledFor: t.due, DispatchedAt: now})
	return len(t.attempts) - 1
}

// end notes how attempt n ended.
func (t *task) end(n int, o outcome, now time.Time) {
	t.attempts[n].EndedAt = now
	t.attempts[n].StatusCode = o.code
	t.attempts[n].Err = o.err
	last := t.pb.GetLastAttempt()
	last.ResponseStatus = &rpcstatus.Status{Code: int32(o.rpcCode()), Message: o.text()}
	if o.code != 0 {
		t.pb.ResponseCount++
		last.ResponseTime = timestamppb.New(now)
		if o.code < 500 {
			t.non5xx++
		}
	}
	t.lastCode = o.code
	if !o.ok() {
		t.failures++
	}
}

// taskHeap orders tasks by the time of their next attempt.
type taskHeap []*task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are for container/heap.
func (h *taskHeap) Push(x any) {
	t := x.(*task)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *taskHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}

package chaos

import (
	"encoding/json"
	"fmt"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
)

// violation is one rule broken by one row.
type violation struct {
	rule, id, text string
	at             int64 // microseconds of the database's clock; 0 where no moment can be named
}

// The rules that every transition must keep to.
const (
	ruleLegal    = "only legal transitions"
	ruleGapless  = "every transition begins where the one before has ended"
	ruleFinal    = "nothing happens to a final row"
	ruleAttempts = "attempts rise by one at a claim, and fall by one only when one is given back"
	ruleFresh    = "a claim ID is given out once"
	ruleLease    = "nobody takes a claim before its lease has expired"
	ruleDue      = "no claim before run_after"
	ruleFence    = "only the holder of the claim ends it"
)

// tolerance is how much coarser than the rows' times the audit's clock may be,
// in microseconds.
const tolerance = 2000

// early is how far ahead of run_after a delivery may run a task.
const early = 2_000_000

// judge holds the audit against the rules.
func judge(entries []entry) []violation {
	j := &court{last: make(map[string]*entry), claims: make(map[string]bool)}
	for i := range entries {
		j.hear(&entries[i])
	}
	return j.found
}

// court is a judgement under way.
type court struct {
	last   map[string]*entry // of each row
	claims map[string]bool   // that were given out
	found  []violation
	now    *entry
}

// want notes a violation unless the condition holds.
func (j *court) want(holds bool, rule string) {
	if !holds {
		e := j.now
		j.found = append(j.found, violation{rule, e.id, fmt.Sprintf("%s: %s to %s, attempts %d to %d of %d, claim %.8s to %.8s, worker %s, value %s, last failure %v, lease %d us after now",
			e.task, e.status[0], e.status[1], e.attempts[0], e.attempts[1], e.most, e.claim[0], e.claim[1], e.worker(), e.value, e.failure(), e.lease[0]-e.at), e.at})
	}
}

func (j *court) hear(e *entry) {
	j.now = e
	before := j.last[e.id]
	j.last[e.id] = e
	if before == nil {
		j.want(e.status == [2]string{"", "READY"} && e.attempts[1] == 0 && e.claim[1] == "", ruleLegal)
		return
	}
	j.want(before.status[1] == e.status[0] && before.attempts[1] == e.attempts[0] && before.claim[1] == e.claim[0], ruleGapless)
	switch {
	case final(e.status[0]):
		j.want(false, ruleFinal)
	case e.claimed():
		j.claim(e)
	case e.status == [2]string{"RUNNING", "SUCCESSFUL"}:
		j.success(e)
	case e.status == [2]string{"RUNNING", "FAILED"}:
		j.failure(e)
	case e.status == [2]string{"RUNNING", "READY"}:
		j.back(e)
	case e.status == [2]string{"RUNNING", "RUNNING"}:
		// Released with no attempt left to give back: the lease ends here.
		j.want(e.interruptions[1] == e.interruptions[0]+1, ruleLegal)
		j.want(e.attempts[0] == e.attempts[1], ruleAttempts)
	default:
		j.want(e.status[1] == "CANCELLED", ruleLegal)
		j.want(e.attempts[0] == e.attempts[1], ruleAttempts)
		j.want(e.claim[1] == "", ruleFence)
	}
}

func (j *court) claim(e *entry) {
	j.want(e.attempts[1] == e.attempts[0]+1 && e.attempts[1] <= e.most, ruleAttempts)
	j.want(!j.claims[e.claim[1]], ruleFresh)
	j.claims[e.claim[1]] = true
	if e.status[0] == "RUNNING" {
		j.want(e.lease[0] <= e.at+tolerance, ruleLease)
	}
	j.want(e.runAfter <= e.at+early+tolerance, ruleDue)
}

// success is a finish: what it returned must be of the attempt that holds the
// claim, or somebody else has written it.
func (j *court) success(e *entry) {
	var out tasks.Result
	err := json.Unmarshal([]byte(e.value), &out)
	j.want(err == nil && e.claim[0] == e.claim[1] && out == tasks.Result{Attempt: e.attempts[1], Worker: e.worker()}, ruleFence)
	j.want(e.attempts[0] == e.attempts[1], ruleAttempts)
}

// failure is the end of a row that failed for good, or whose worker was lost.
func (j *court) failure(e *entry) {
	j.want(e.attempts[0] == e.attempts[1], ruleAttempts)
	if e.claim[1] == "" {
		j.want(e.lease[0] <= e.at+tolerance, ruleLease)
		return
	}
	j.ownFailure(e)
}

// ownFailure wants the latest error to be that of the holder's attempt.
func (j *court) ownFailure(e *entry) {
	last := e.failure()
	var attempt int
	var worker string
	if n, _ := fmt.Sscanf(last.Message, "attempt %d failed in %s", &attempt, &worker); n == 2 {
		j.want(worker == e.worker(), ruleFence)
	}
	j.want(e.claim[0] == e.claim[1] && last.Attempt == e.attempts[1], ruleFence)
}

// back is a return to READY: reclaimed after its lease, given back, or to be
// tried again.
func (j *court) back(e *entry) {
	released := e.interruptions[1] == e.interruptions[0]+1
	switch {
	case e.claim[1] == "":
		j.want(e.lease[0] <= e.at+tolerance, ruleLease)
		j.want(e.attempts[0] == e.attempts[1] && !released, ruleAttempts)
	case e.attempts[1] == e.attempts[0]-1: // given back, or snoozed
		j.want(e.claim[0] == e.claim[1], ruleFence)
	case e.attempts[1] == e.attempts[0]:
		if !released {
			j.ownFailure(e)
		}
	default:
		j.want(false, ruleAttempts)
	}
}

// final reports whether a status is one that ends a task.
func final(status string) bool {
	return status == "SUCCESSFUL" || status == "FAILED" || status == "CANCELLED"
}

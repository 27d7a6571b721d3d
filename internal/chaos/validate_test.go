package chaos

import (
	"encoding/json"
	"fmt"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
)

// violation is one rule broken by one row.
type violation struct {
	rule, id, text string
	at             int64 // microseconds of the database's clock; 0 if unknown
}

// The rules that every transition must keep to.
const (
	ruleLegal    = "only legal transitions"
	ruleGapless  = "every transition begins where the previous one ended"
	ruleFinal    = "nothing happens to a final row"
	ruleAttempts = "attempts rise by one at a claim, and fall by one only at a refund"
	ruleFresh    = "a claim ID is used once"
	ruleLease    = "no claim is taken over before its lease has expired"
	ruleDue      = "no claim before run_after"
	ruleFence    = "only the holder of the claim ends it"
)

// tolerance is the difference in microseconds that the audit's clock may have to the
// rows' times, because it is coarser.
const tolerance = 2000

// early is how long before run_after a delivery may run a task, in microseconds.
const early = 2_000_000

// validate checks the audit against the rules.
func validate(entries []entry) []violation {
	v := &validator{last: make(map[string]*entry), claims: make(map[string]bool)}
	for i := range entries {
		v.check(&entries[i])
	}
	return v.found
}

// validator is the state of validate.
type validator struct {
	last   map[string]*entry // of each row
	claims map[string]bool   // that were used
	found  []violation
	now    *entry
}

// require records a violation unless the condition holds.
func (v *validator) require(holds bool, rule string) {
	if !holds {
		e := v.now
		v.found = append(v.found, violation{rule, e.id, fmt.Sprintf("%s: %s to %s, attempts %d to %d of %d, claim %.8s to %.8s, worker %s, value %s, last failure %v, lease %d us after now",
			e.task, e.status[0], e.status[1], e.attempts[0], e.attempts[1], e.maxAttempts, e.claim[0], e.claim[1], e.worker(), e.value, e.failure(), e.lease[0]-e.at), e.at})
	}
}

func (v *validator) check(e *entry) {
	v.now = e
	before := v.last[e.id]
	v.last[e.id] = e
	if before == nil {
		v.require(e.status == [2]string{"", "READY"} && e.attempts[1] == 0 && e.claim[1] == "", ruleLegal)
		return
	}
	v.require(before.status[1] == e.status[0] && before.attempts[1] == e.attempts[0] && before.claim[1] == e.claim[0], ruleGapless)
	switch {
	case final(e.status[0]):
		v.require(false, ruleFinal)
	case e.claimed():
		v.claim(e)
	case e.status == [2]string{"RUNNING", "SUCCESSFUL"}:
		v.success(e)
	case e.status == [2]string{"RUNNING", "FAILED"}:
		v.failure(e)
	case e.status == [2]string{"RUNNING", "READY"}:
		v.returned(e)
	case e.status == [2]string{"RUNNING", "RUNNING"}:
		// Released without an attempt to refund: the lease ends here.
		v.require(e.interruptions[1] == e.interruptions[0]+1, ruleLegal)
		v.require(e.attempts[0] == e.attempts[1], ruleAttempts)
	default:
		v.require(e.status[1] == "CANCELLED", ruleLegal)
		v.require(e.attempts[0] == e.attempts[1], ruleAttempts)
		v.require(e.claim[1] == "", ruleFence)
	}
}

func (v *validator) claim(e *entry) {
	v.require(e.attempts[1] == e.attempts[0]+1 && e.attempts[1] <= e.maxAttempts, ruleAttempts)
	v.require(!v.claims[e.claim[1]], ruleFresh)
	v.claims[e.claim[1]] = true
	if e.status[0] == "RUNNING" {
		v.require(e.lease[0] <= e.at+tolerance, ruleLease)
	}
	v.require(e.runAfter <= e.at+early+tolerance, ruleDue)
}

// success checks a finish: its return value must be from the attempt that holds the
// claim, or another one has written it.
func (v *validator) success(e *entry) {
	var out tasks.Result
	err := json.Unmarshal([]byte(e.value), &out)
	v.require(err == nil && e.claim[0] == e.claim[1] && out == tasks.Result{Attempt: e.attempts[1], Worker: e.worker()}, ruleFence)
	v.require(e.attempts[0] == e.attempts[1], ruleAttempts)
}

// failure checks the end of a row that FAILED, or whose worker was lost.
func (v *validator) failure(e *entry) {
	v.require(e.attempts[0] == e.attempts[1], ruleAttempts)
	if e.claim[1] == "" {
		v.require(e.lease[0] <= e.at+tolerance, ruleLease)
		return
	}
	v.ownFailure(e)
}

// ownFailure requires the latest error to be from the holder's attempt.
func (v *validator) ownFailure(e *entry) {
	last := e.failure()
	var attempt int
	var worker string
	if n, _ := fmt.Sscanf(last.Message, "attempt %d failed in %s", &attempt, &worker); n == 2 {
		v.require(worker == e.worker(), ruleFence)
	}
	v.require(e.claim[0] == e.claim[1] && last.Attempt == e.attempts[1], ruleFence)
}

// returned checks a return to READY: reclaimed after its lease, released, or to be
// retried.
func (v *validator) returned(e *entry) {
	released := e.interruptions[1] == e.interruptions[0]+1
	switch {
	case e.claim[1] == "":
		v.require(e.lease[0] <= e.at+tolerance, ruleLease)
		v.require(e.attempts[0] == e.attempts[1] && !released, ruleAttempts)
	case e.attempts[1] == e.attempts[0]-1: // released, or snoozed
		v.require(e.claim[0] == e.claim[1], ruleFence)
	case e.attempts[1] == e.attempts[0]:
		if !released {
			v.ownFailure(e)
		}
	default:
		v.require(false, ruleAttempts)
	}
}

// final reports whether a status is one that ends a task.
func final(status string) bool {
	return status == "SUCCESSFUL" || status == "FAILED" || status == "CANCELLED"
}

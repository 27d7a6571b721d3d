package server

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/mutate"
	"github.com/claimcheck-go/claimcheck/queue"
)

// TestFailpointsFitTheSource notices a change of the source that a failpoint has not
// followed, without building or running anything.
func TestFailpointsFitTheSource(t *testing.T) {
	mutate.Check(t, failpoints)
	mutate.Check(t, []mutate.Edit{echoOccurrence})
}

// TestProcessMayDieAnywhere kills a real server at each step between the INSERT
// and the answer to the delivery, and wants of the next process what is promised:
// an acknowledged task succeeds, and how often it took effect.
func TestProcessMayDieAnywhere(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "server")
	mutate.Build(t, "./cmd/server", binary, failpoints)
	for name, test := range map[string]func(*failSite){
		"01 before the INSERT":                            diesBeforeInsert,
		"02 after the INSERT, and it is not repeated":     diesInserted,
		"02 after the INSERT, and the caller repeats it":  diesInsertedAndIsAskedAgain,
		"03 after the create, before the answer":          diesCreated,
		"11 in the sweeper, after it took a row":          diesSweeping,
		"04 at a delivery, before the claim":              failRun{point: "delivered", left: queue.StatusReady, attempts: 1, effects: 1}.try,
		"05 after the claim, before the function":         failRun{point: "claimed", left: queue.StatusRunning, used: 1, attempts: 2, effects: 1}.try,
		"06 in the function, after its effect":            failRun{point: "running", left: queue.StatusRunning, used: 1, attempts: 2, effects: 2}.try,
		"07 after the function, before the finish":        failRun{point: "returned", left: queue.StatusRunning, used: 1, attempts: 2, effects: 2}.try,
		"08 after the finish, before the answer":          failRun{point: "finished", left: queue.StatusSuccessful, used: 1, attempts: 1, effects: 1}.try,
		"09 after a failure was stored":                   failRun{point: "retried", first: failsPlainly, left: queue.StatusReady, used: 1, attempts: 2, effects: 2, errors: 1}.try,
		"10 after RetryAt was stored, before it is armed": failRun{point: "rescheduled", first: failsForASecond, left: queue.StatusReady, used: 1, attempts: 2, effects: 2, errors: 1}.try,
		"12 after CompleteTx, before the commit":          failRun{point: "CompleteTx", task: "ledger", left: queue.StatusRunning, used: 1, attempts: 2, effects: 1}.try,
		"12 after the commit, before the return":          failRun{point: "commit", task: "ledger", left: queue.StatusSuccessful, used: 1, attempts: 1, effects: 1}.try,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newFailSite(t, binary))
		})
	}
}

// The caller got no answer, and the task is not stored.
func diesBeforeInsert(f *failSite) {
	id := f.unanswered("insert")
	f.wantNotStored(id)
	s := f.restart()
	f.wantSuccess(s, s.enqueue(f.body(id)).ID, 1, 1)
}

// The caller got no answer, but the task is stored: the sweeper dispatches it.
func diesInserted(f *failSite) {
	id := f.unanswered("inserted")
	f.wantStored(id, queue.StatusReady, 0)
	f.wantCreated(0)
	s := f.restart()
	f.sweep(queue.SweepResult{}) // a slow Cloud Tasks is given five minutes
	f.age()
	f.sweep(queue.SweepResult{Dispatched: 1})
	f.wantSuccess(s, id, 1, 1)
}

// The caller did not get an answer, and asks again.
func diesInsertedAndIsAskedAgain(f *failSite) {
	id := f.unanswered("inserted")
	f.wantStored(id, queue.StatusReady, 0)
	s := f.restart()
	if reply := s.do(http.MethodPost, "/tasks/enqueue/", f.body(id)); reply.status != http.StatusOK {
		f.t.Errorf("repeated: %d %s", reply.status, reply.text)
	}
	f.wantSuccess(s, id, 1, 1)
	f.wantCreated(1)
}

// The task is on its way, and asking again changes nothing.
func diesCreated(f *failSite) {
	id := f.unanswered("created")
	f.wantStored(id, queue.StatusReady, 0)
	f.wantCreated(1)
	s := f.restart()
	f.wantSuccess(s, id, 1, 1)
	if reply := s.do(http.MethodPost, "/tasks/enqueue/", f.body(id)); reply.status != http.StatusOK {
		f.t.Errorf("repeated: %d %s", reply.status, reply.text)
	}
	f.wantCreated(1)
}

// A sweeper that dies between taking a row and the Cloud Task leaves it to a
// later one.
func diesSweeping(f *failSite) {
	f.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}})
	id := f.enqueue("webhook.deliver", f.webhook())
	f.SetFaults(cloudtaskstest.Faults{})
	if result := procRun(f.t, f.dir, f.doomed("swept"), "", "sweep"); result.status != -1 || result.stdout != "" {
		f.t.Errorf("the sweeper was to be killed: %+v", result)
	}
	f.wantStored(id, queue.StatusReady, 0)
	f.wantCreated(0)
	f.sweep(queue.SweepResult{})
	f.age()
	f.sweep(queue.SweepResult{Dispatched: 1})
	f.wantSuccess(f.restart(), id, 1, 1)
	f.wantCreated(1)
}

// failRun is a task that was acknowledged, and whose delivery kills the server.
type failRun struct {
	point string
	task  string           // empty: webhook.deliver
	first http.HandlerFunc // how the receiver answers the first call
	// What the dead process leaves: the row's state, and the attempts used.
	left queue.Status
	used int
	// What it comes to: attempts, how often the task took effect, and failures
	// on record.
	attempts, effects, errors int
}

func failsPlainly(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusInternalServerError)
}

func failsForASecond(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (run failRun) try(f *failSite) {
	task, args := "webhook.deliver", f.webhook()
	if run.task != "" {
		task, args = run.task, "null"
	}
	f.hook.first = run.first
	doomed := f.serve(f.dir, f.doomed(run.point))
	id := f.enqueue(task, args)
	f.wantKilled(doomed)
	f.wantStored(id, run.left, run.used)
	row := f.wantSuccess(f.restart(), id, run.attempts, run.effects)
	if len(row.Errors) != run.errors {
		f.t.Errorf("errors %+v, want %d", row.Errors, run.errors)
	}
}

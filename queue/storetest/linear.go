package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The size of one history: enough for calls to meet on a row, and few enough for
// the checker to be done in milliseconds.
const (
	linearRows    = 3
	linearClients = 6
	linearCalls   = 25 // of each client
)

// linearTime bounds the runs, and checkTime the checker, which must not give up.
const (
	linearTime = 1500 * time.Millisecond
	checkTime  = 20 * time.Second
)

// testLinear lets many clients do at once what workers, sweepers and operators
// do, and asks whether one sequence of these calls explains all their answers.
func testLinear(f *fixture) {
	stores := []queue.Store{f.store}
	if f.second != nil { // another process
		stores = append(stores, f.second(f.T, f.store))
	}
	histories, calls := 0, 0
	for start := time.Now(); histories == 0 || time.Since(start) < linearTime; histories++ {
		n, err := checkLinear(f.ctx, rand.Uint64(), stores...)
		calls += n
		f.must(err)
	}
	f.Logf("%d histories of %d rows, %d calls", histories, linearRows, calls)
}

// checkLinear records one history of each of some rows, and returns an error if
// a history is not linearizable: if the calls cannot be put in an order, each
// at a time between its beginning and its answer, in which a store that does one
// after the other would answer the same.
func checkLinear(ctx context.Context, seed uint64, stores ...queue.Store) (calls int, err error) {
	r := &recorder{ctx: ctx, start: time.Now(), task: "linear." + uuid.NewString(), histories: make(map[uuid.UUID][]porcupine.Operation)}
	rows := make([]*queue.NewRow, linearRows)
	initial := make(map[uuid.UUID]rowState)
	for i := range rows {
		rows[i] = request(withTask(r.task), onQueue(r.task), maxAttempts(2+2*i))
		r.ids = append(r.ids, rows[i].ID)
	}
	if err := stores[0].Insert(ctx, rows...); err != nil {
		return 0, err
	}
	for _, row := range rows {
		initial[row.ID] = stateOf(row.Row)
	}
	var group sync.WaitGroup
	for i := range linearClients {
		store := stores[i%len(stores)]
		operator, _ := store.(queue.Operator)
		c := &client{recorder: r, id: i, store: store, operator: operator, rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		group.Go(func() {
			for range linearCalls {
				c.call()
			}
		})
	}
	group.Wait()
	if r.err != nil {
		return 0, r.err
	}
	for id, history := range r.histories {
		calls += len(history)
		model := sequential(initial[id])
		switch porcupine.CheckOperationsTimeout(model, history, checkTime) {
		case porcupine.Unknown:
			return calls, fmt.Errorf("the checker was not done with %d calls within %s", len(history), checkTime)
		case porcupine.Illegal:
			return calls, fmt.Errorf("seed %d: no sequence explains the history of row %s, at first %+v:\n%s", seed, id, initial[id], text(model, history))
		}
	}
	return calls, nil
}

// text is a history for people.
func text(model porcupine.Model, history []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range history {
		fmt.Fprintf(&b, "client %d, %s to %s: %s\n", o.ClientId, time.Duration(o.Call), time.Duration(o.Return), model.DescribeOperation(o.Input, o.Output))
	}
	return b.String()
}

// recorder is what the clients of one run share.
type recorder struct {
	ctx   context.Context
	start time.Time
	task  string // and queue, of this run alone
	ids   []uuid.UUID

	mu        sync.Mutex
	histories map[uuid.UUID][]porcupine.Operation
	claims    []queue.Claim // ever given, lost ones included
	err       error         // the first answer that no call may give
}

// note adds a call to the history of a row.
func (r *recorder) note(client int, id uuid.UUID, in call, sent time.Duration, out outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.histories[id] = append(r.histories[id], porcupine.Operation{
		ClientId: client, Input: in, Call: int64(sent), Output: out, Return: int64(time.Since(r.start)),
	})
}

func (r *recorder) fail(op string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", op, err)
	}
}

// gave remembers a claim.
func (r *recorder) gave(claim queue.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.claims = append(r.claims, claim)
}

// someClaim is mostly one of the latest claims, so that clients meet.
func (r *recorder) someClaim(random *rand.Rand) (queue.Claim, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.claims) == 0 {
		return queue.Claim{}, false
	}
	latest := min(len(r.claims), 2*linearRows)
	if random.IntN(8) == 0 {
		latest = len(r.claims)
	}
	return r.claims[len(r.claims)-1-random.IntN(latest)], true
}

// refusal takes apart the error of a call under a claim, or of a claim.
func refusal(err error) (out outcome, other error) {
	var refused *queue.NotClaimedError
	switch {
	case err == nil:
		return outcome{took: true}, nil
	case errors.As(err, &refused):
		state := stateOf(refused.Row)
		return outcome{err: refused.Reason, row: &state}, nil
	case errors.Is(err, queue.ErrLeaseLost):
		return outcome{err: queue.ErrLeaseLost}, nil
	}
	return outcome{}, err
}

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// promise is what a producer knows about one task.
type promise struct {
	task       string
	queue      string
	key        string    // its idempotency key
	met        uuid.UUID // the task that held the key, according to the answer
	acked      bool      // the task was acknowledged as stored
	business   bool      // enqueued in a transaction of the business
	rolledBack bool      // which was rolled back
}

// promises are those of all producers.
type promises struct {
	mu  sync.Mutex
	all map[uuid.UUID]promise
	ids []uuid.UUID // in order
}

func (p *promises) set(id uuid.UUID, what promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.all[id]; !known {
		p.ids = append(p.ids, id)
	}
	p.all[id] = what
}

// recent returns one of the tasks enqueued last, or uuid.Nil.
func (p *promises) recent(random *rand.Rand) uuid.UUID {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.ids[max(0, len(p.ids)-100):]
	if len(last) == 0 {
		return uuid.Nil
	}
	return last[random.IntN(len(last))]
}

// producer enqueues tasks, one after the other.
type producer struct {
	run    *run
	random *rand.Rand
	pace   time.Duration // between two tasks
}

// request is one task to be enqueued.
type request struct {
	id    uuid.UUID
	name  string
	args  tasks.Args
	delay time.Duration
	queue string // empty: the default
	key   key
}

func (r request) promise() promise { return promise{task: r.name, queue: r.queue, key: r.key.name} }

// kind is the percentage of a task among those enqueued, and its longest duration.
type kind struct {
	name   string
	weight int
	millis int
}

// mixture is what is enqueued.
var mixture = []kind{
	{tasks.Ledger.Name(), 33, 100}, {tasks.Plain.Name(), 8, 40}, {tasks.Keyed.Name(), 10, 40}, {tasks.Long.Name(), 8, 2000}, {tasks.Flaky.Name(), 10, 20},
	{tasks.Stubborn.Name(), 12, 1200}, {tasks.Rescheduling.Name(), 8, 500}, {tasks.Poison.Name(), 3, 20}, {tasks.Once.Name(), 8, 1500},
}

// next draws a task.
func (p *producer) next() request {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // no randomness
	}
	at := p.random.IntN(100)
	for _, kind := range p.run.options.mixture {
		if at -= kind.weight; at < 0 {
			r := request{id: id, name: kind.name, args: tasks.Args{Millis: p.random.IntN(kind.millis), Failures: p.random.IntN(3)}}
			if p.random.IntN(10) == 0 {
				r.delay = time.Duration(500+p.random.IntN(2500)) * time.Millisecond
			}
			switch {
			case p.random.IntN(pausableShare) == 0:
				r.queue = pausable
			case p.random.IntN(limitedShare) == 0 && p.run.limitedWaiting.Load() < limitedBacklog:
				r.queue = limited
			}
			p.run.options.keyed(&r, p.random)
			return r
		}
	}
	panic("the weights do not make 100")
}

// produce enqueues until ctx ends, each task until its answer is known.
func (p *producer) produce(ctx context.Context, enqueue func(request) (uuid.UUID, error)) {
	for ctx.Err() == nil {
		r := p.next()
		promised := r.promise()
		p.run.promises.set(r.id, promised)
		for try := time.Now(); ; {
			id, err := enqueue(r)
			if err == nil {
				if promised.acked = id == r.id; !promised.acked {
					promised.met = id
				}
				p.run.promises.set(r.id, promised)
				break
			}
			var refused *refusedError
			if errors.As(err, &refused) || errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrIDConflict) {
				p.run.broken("an enqueue may be repeated", r.id, err.Error())
				break
			}
			if time.Since(try) > p.run.options.drain {
				break // never acknowledged, so nothing is promised
			}
			p.rest(context.WithoutCancel(ctx), 100*time.Millisecond)
		}
		p.rest(ctx, p.pace)
	}
}

// rest waits for about d.
func (p *producer) rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + time.Duration(p.random.Int64N(int64(d)))):
	}
}

// refusedError is an answer that a repetition would not change.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

// byHTTP enqueues at the front.
func (p *producer) byHTTP(r request) (uuid.UUID, error) {
	body := map[string]any{"task": r.name, "args": r.args, "id": r.id}
	if r.delay > 0 {
		body["run_after"] = time.Now().Add(r.delay).Format(time.RFC3339Nano)
	}
	if r.queue != "" {
		body["queue_name"] = r.queue
	}
	r.key.fields(body)
	status, text, err := p.run.post("/tasks/enqueue/", body)
	if err != nil {
		return uuid.Nil, err
	}
	return answered(status, text)
}

// byGo enqueues with a client of this process.
func (p *producer) byGo(r request) (uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), frontTimeout)
	defer cancel()
	return enqueued(p.run.client.Enqueue(ctx, r.name, r.args, r.enqueueOptions()...))
}

func (r request) enqueueOptions() []queue.Option {
	options := []queue.Option{queue.WithID(r.id)}
	if r.delay > 0 {
		options = append(options, queue.Delay(r.delay))
	}
	if r.queue != "" {
		options = append(options, queue.OnQueue(r.queue))
	}
	if r.key.name != "" {
		options = append(options, r.key.option())
	}
	return options
}

// produceInTx enqueues tasks in transactions of the business until ctx ends, some of
// which it rolls back. It repeats none: if the outcome of one is unknown, the order and
// the task must agree.
func (p *producer) produceInTx(ctx context.Context) {
	for ctx.Err() == nil {
		r := p.next()
		r.key = key{} // or the order and another task would have to agree
		rollBack := p.random.IntN(4) == 0
		promised := r.promise()
		promised.business, promised.rolledBack = true, rollBack
		p.run.promises.set(r.id, promised)
		if p.order(r, rollBack, p.random.IntN(2) == 0) == nil {
			promised.acked = !rollBack
			p.run.promises.set(r.id, promised)
		}
		p.rest(ctx, p.pace)
	}
}

// order writes one order with its task; with follow it dispatches the task at once,
// else the sweeper does.
func (p *producer) order(r request, rollBack, follow bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), frontTimeout)
	defer cancel()
	tx, err := p.run.ledger.Begin(ctx)
	if err != nil {
		return err
	}
	enqueue := func(q queue.Tx) error {
		if err := tx.Order(ctx, r.id); err != nil {
			return err
		}
		_, err := p.run.client.EnqueueTx(ctx, q, r.name, r.args, r.enqueueOptions()...)
		if err == nil && rollBack {
			err = errRolledBack
		}
		return err
	}
	if follow {
		err = p.run.client.InTx(ctx, tx.Tx, enqueue)
	} else if err = enqueue(tx.Tx); err == nil {
		err = tx.Commit(ctx)
	} else {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // if that fails too, the connection is lost and the database does it
	}
	if errors.Is(err, errRolledBack) {
		return nil
	}
	return err
}

var errRolledBack = errors.New("rolled back")

// post sends a POST to the front.
func (r *run) post(path string, body any) (status int, text string, err error) {
	return r.send(http.MethodPost, path, body)
}

// send sends a request to the front.
func (r *run) send(method, path string, body any) (status int, text string, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	request, err := http.NewRequest(method, r.front.URL+path, bytes.NewReader(encoded))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := r.http.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(response.Body)
	return response.StatusCode, answer.String(), err
}

// token is the shared secret of the harness and the workers.
const token = "the-run-itself-calls-with-this-0123456789"

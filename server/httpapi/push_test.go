package httpapi_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// pushed is an API whose tasks come from a fake of Cloud Tasks, in a synctest bubble.
type pushed struct {
	*api
	fake *cloudtaskstest.Server
	mu   sync.Mutex
	runs []time.Duration // since the beginning
}

// withPushed calls f with a pushed whose task "t" notes its time and returns result's error.
func withPushed(t *testing.T, result func() error, f func(p *pushed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pushed{}
		began := time.Now()
		late := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) })
		fake, client := cloudtaskstest.Start(t, cloudtaskstest.Config{Handler: late, AutoCreate: cloudtaskstest.AnyQueue})
		dispatcher, err := cloudtasks.New(client, cloudtasks.Config{
			Project: "acme", Location: "europe-west1",
			HandlerURL:          "https://worker.example/tasks/execute/{task_id}/",
			ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com",
		})
		if err != nil {
			t.Fatal(err)
		}
		p.fake = fake
		p.api = newAPI(t, func(_ *httpapi.Config, c *queue.Config) {
			c.Dispatcher = dispatcher
			c.Registry = queue.NewRegistry(queue.NewTask("t", func(context.Context, int) (int, error) {
				p.mu.Lock()
				p.runs = append(p.runs, time.Since(began))
				p.mu.Unlock()
				return 0, result()
			}))
		})
		f(p)
	})
}

func succeed() error { return nil }

// times returns when it ran.
func (p *pushed) times() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.runs)
}

// put enqueues under a key.
func (p *pushed) put(args int, opts ...queue.Option) *queue.Handle {
	p.t.Helper()
	handle, err := p.client.Enqueue(p.t.Context(), "t", args, append(opts, queue.Unique("k", queue.OnConflict(queue.ReplaceExisting)))...)
	if err != nil {
		p.t.Fatal(err)
	}
	return handle
}

// ranAt checks when the task has run.
func (p *pushed) ranAt(want ...time.Duration) {
	p.t.Helper()
	synctest.Wait()
	runs := p.times()
	if len(runs) != len(want) {
		p.t.Fatalf("it ran %d times, at %v, want %v", len(runs), runs, want)
	}
	for i, at := range want {
		if d := runs[i] - at; d < -2*time.Second || d > time.Second {
			p.t.Errorf("it ran at %v, want %v", runs, want)
		}
	}
}

// atMost checks how many tickets wait in Cloud Tasks.
func (p *pushed) atMost(n int) {
	p.t.Helper()
	synctest.Wait()
	if waiting := len(p.fake.Tasks()); waiting > n {
		p.t.Fatalf("%d tickets wait for one task, want at most %d", waiting, n)
	}
}

// A ticket for a time that the row no longer has makes no other one.
func TestReplacingAgainAndAgainMakesOneTicketAChange(t *testing.T) {
	withPushed(t, succeed, func(p *pushed) {
		const changes = 600
		for i := range changes { // a change a second
			p.put(i, queue.Delay(time.Minute))
			p.atMost(61)
			time.Sleep(time.Second)
		}
		p.ranAt()
		time.Sleep(2 * time.Minute)
		p.ranAt((changes-1)*time.Second + time.Minute)
		if s := p.fake.Stats(); s.Created > changes || s.Delivered > changes {
			p.t.Errorf("%d tickets and %d deliveries of %d changes", s.Created, s.Delivered, changes)
		}
		p.atMost(0)
	})
}

// A task that is replaced for the same time, or found, gets one ticket more.
func TestEnqueuesForTheSameTimeShareATicket(t *testing.T) {
	for _, onConflict := range []queue.Conflict{queue.ReplaceExisting, queue.ReturnExisting} {
		withPushed(t, succeed, func(p *pushed) {
			at := time.Now().Add(time.Hour)
			for i := range 50 {
				if _, err := p.client.Enqueue(p.t.Context(), "t", i, queue.RunAfter(at), queue.Unique("k", queue.OnConflict(onConflict))); err != nil {
					p.t.Fatal(err)
				}
			}
			p.atMost(2)
			time.Sleep(2 * time.Hour)
			p.ranAt(time.Hour)
		})
	}
}

// Each change of the time has a ticket, also one to a time that the row had before.
func TestAReplacedTimeHasATicket(t *testing.T) {
	withPushed(t, succeed, func(p *pushed) {
		began := time.Now()
		for _, minutes := range []time.Duration{30, 20, 30, 10, 40, 20} {
			p.put(1, queue.RunAfter(began.Add(minutes*time.Minute)))
		}
		time.Sleep(time.Hour)
		p.ranAt(20 * time.Minute)
	})
}

// The tickets of one call are for what the call has stored last.
func TestAKeyTwiceInOneCallIsDispatchedForTheLastTime(t *testing.T) {
	for _, minutes := range [][2]time.Duration{{10, 20}, {20, 10}} {
		withPushed(t, succeed, func(p *pushed) {
			var requests []queue.Request
			for _, m := range minutes {
				requests = append(requests, queue.Request{Task: "t", Args: 1, Options: []queue.Option{queue.Delay(m * time.Minute), queue.Unique("k", queue.OnConflict(queue.ReplaceExisting))}})
			}
			if _, err := p.client.EnqueueMany(p.t.Context(), requests...); err != nil {
				p.t.Fatal(err)
			}
			time.Sleep(time.Hour)
			p.ranAt(minutes[1] * time.Minute)
		})
	}
}

// The duplicates of a ticket of a task that waits for a rate become one.
func TestDuplicatesDoNotLiveAsLongAsATaskWaitsForARate(t *testing.T) {
	withPushed(t, succeed, func(p *pushed) {
		if _, err := p.client.SetLimit(p.t.Context(), queue.Limit{Kind: queue.LimitName, Name: "t", Starts: 1, Per: time.Hour}, "ann"); err != nil {
			p.t.Fatal(err)
		}
		p.put(1)
		p.ranAt(0)
		handle := p.put(2)
		for range 20 { // as the sweeper does, or a call whose answer was lost
			p.client.Dispatch(p.t.Context(), &queue.Handle{ID: handle.ID, Row: handle.Row})
		}
		time.Sleep(time.Minute) // a delivery to a full process comes again
		p.atMost(1)
		for len(p.times()) < 2 && p.t.Context().Err() == nil {
			time.Sleep(time.Hour)
			synctest.Wait()
			p.atMost(1)
		}
		p.atMost(0)
	})
}

// The duplicates of a ticket end with the next time of a task that snoozes.
func TestDuplicatesDoNotLiveAsLongAsATaskThatSnoozes(t *testing.T) {
	withPushed(t, func() error { return queue.Snooze(time.Minute) }, func(p *pushed) {
		handle := p.put(1)
		for range 3 { // as the sweeper does, or a call whose answer was lost
			p.client.Dispatch(p.t.Context(), &queue.Handle{ID: handle.ID, Row: handle.Row})
		}
		time.Sleep(30 * time.Second)
		p.atMost(1)
		var want []time.Duration
		for minute := range 60 {
			want = append(want, time.Duration(minute)*time.Minute)
		}
		time.Sleep(time.Hour - time.Minute)
		p.ranAt(want...)
		p.atMost(1)
	})
}

// The name of a ticket that was delivered while the queue was paused is used up.
func TestATaskReplacedDuringAPauseRunsAfterIt(t *testing.T) {
	for name, later := range map[string]time.Duration{"at once": 0, "later": time.Hour} {
		t.Run(name, func(t *testing.T) {
			withPushed(t, succeed, func(p *pushed) {
				at := time.Now().Add(time.Minute)
				p.put(1, queue.RunAfter(at))
				p.put(2, queue.RunAfter(at)) // with a name
				gate := queue.GateRequest{Queue: "default", Actor: "t"}
				if _, err := p.client.PauseQueue(p.t.Context(), gate, nil); err != nil {
					p.t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				p.atMost(0)
				p.put(3, queue.RunAfter(at.Add(later)))
				time.Sleep(time.Minute)
				if _, err := p.client.ResumeQueue(p.t.Context(), gate, nil); err != nil {
					p.t.Fatal(err)
				}
				time.Sleep(2 * time.Hour)
				p.ranAt(max(3*time.Minute, time.Minute+later))
			})
		})
	}
}

// Whatever has lost its ticket is dispatched by the sweeper.
func TestAReplacedTaskWithoutATicketIsSwept(t *testing.T) {
	withPushed(t, succeed, func(p *pushed) {
		at := time.Now().Add(10 * time.Minute)
		p.put(1, queue.Delay(5*time.Minute))
		p.fake.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}})
		handle := p.put(2, queue.RunAfter(at))
		p.fake.SetFaults(cloudtaskstest.Faults{})
		time.Sleep(6 * time.Minute) // the first ticket comes, and is outdated
		p.atMost(0)
		if row, err := p.client.Get(p.t.Context(), handle.ID); err != nil || row.DispatchError == "" || row.DispatchDueAt.After(time.Now()) {
			p.t.Fatalf("%+v, %v", row, err)
		}
		if _, err := p.client.Sweep(p.t.Context(), 0); err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p.ranAt(10 * time.Minute)
	})
}

// What Cloud Tasks says about a delivery decides whether it is outdated.
func TestADeliverySaysForWhenItWas(t *testing.T) {
	for _, c := range []struct {
		eta     string
		dropped bool
	}{
		{"", false},
		{"nonsense", false},
		{"NaN", false},
		{"-1", false},
		{"1e300", false},
		{"946684800.123456", true}, // the bubble's beginning
		{"946688399.5", false},     // the row's time, nearly
		{"946692000", false},
	} {
		for _, header := range []string{"X-CloudTasks-TaskETA", "X-AppEngine-TaskETA"} {
			withPushed(t, succeed, func(p *pushed) {
				handle := p.put(1, queue.Delay(time.Hour))
				before := len(p.fake.Tasks())
				p.expect(c.eta, p.deliver(handle.ID.String(), header, c.eta), 200, `{"executed":false,"reason":"task is not due yet"}`)
				if dropped := len(p.fake.Tasks()) == before; dropped != c.dropped {
					p.t.Errorf("%s %q: dropped %v", header, c.eta, dropped)
				}
			})
		}
	}
}

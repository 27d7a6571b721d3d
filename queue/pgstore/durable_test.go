package pgstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// The server logs nothing by itself, and writes the log only for transactions that
// wait for the disk.
var logOptions = []string{"-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off", "-c", "bgwriter_lru_maxpages=0", "-c", "checkpoint_timeout=1h"}

// durability is a Store on a server of its own.
type durability struct {
	*testing.T
	store *Store
	log   *pgx.Conn
}

func newDurability(t *testing.T, server *testdb.Server, config Config) *durability {
	t.Helper()
	name := "d" + uuid.NewString()[:8]
	testdb.Exec(t, server.URL("postgres"), "CREATE DATABASE "+name)
	config.URL, config.Migrate = server.URL(name)+config.URL, true
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	log, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(context.WithoutCancel(t.Context())) })
	return &durability{t, s, log}
}

// written reports whether the whole log is on the disk.
func (d *durability) written() (all bool) {
	d.Helper()
	if err := d.log.QueryRow(d.Context(), "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()").Scan(&all); err != nil {
		d.Fatal(err)
	}
	return all
}

// insert stores a row that may be attempted so often.
func (d *durability) insert(maxAttempts int) uuid.UUID {
	d.Helper()
	id := uuid.Must(uuid.NewV7())
	row := &queue.NewRow{Row: &queue.Row{ID: id, Task: "t", Queue: "q", Backend: "b", Args: []byte("1"), MaxAttempts: maxAttempts}}
	if err := d.store.Insert(d.Context(), row); err != nil {
		d.Fatal(err)
	}
	return id
}

func deliveryOf(id uuid.UUID, changes ...func(*queue.ClaimRequest)) claimOf {
	req := queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}
	for _, change := range changes {
		change(&req)
	}
	return claimOf{id, req}
}

func retried(r *queue.ClaimRequest) { r.AllowRetry = true }

// claimForms are the statements that claim rows. The rows are READY, in this order.
var claimForms = map[string]func(d *durability, ids ...uuid.UUID) int{
	"by ID": func(d *durability, ids ...uuid.UUID) (claimed int) {
		for _, id := range ids {
			if _, err := d.store.claimOne(d.Context(), deliveryOf(id)); err != nil {
				d.Fatal(err)
			}
			claimed++
		}
		return claimed
	},
	"many by ID": func(d *durability, ids ...uuid.UUID) (claimed int) {
		var claims []claimOf
		for _, id := range ids {
			claims = append(claims, deliveryOf(id))
		}
		answers, err := d.store.claimMany(d.Context(), claims)
		if err != nil {
			d.Fatal(err)
		}
		for _, answer := range answers {
			if answer.Served {
				claimed++
			}
		}
		return claimed
	},
	"next": func(d *durability, ids ...uuid.UUID) int {
		return d.next(queue.ClaimNextRequest{Limit: len(ids)})
	},
	"next, with prefetching": func(d *durability, ids ...uuid.UUID) int {
		return d.next(queue.ClaimNextRequest{Limit: len(ids) + 1, Prefetch: 1})
	},
	"next, from a position": func(d *durability, ids ...uuid.UUID) int {
		req := queue.ClaimNextRequest{Limit: len(ids), Tasks: []string{"t"}}
		hint := d.store.hints.of(req)
		hint.position, hint.until = position{priority: 0}, time.Now().Add(time.Hour)
		return d.next(req)
	},
}

func (d *durability) next(req queue.ClaimNextRequest) int {
	d.Helper()
	req.Tasks, req.Worker, req.Lease = []string{"t"}, "w", time.Minute
	rows, err := d.store.ClaimNext(d.Context(), req)
	if err != nil {
		d.Fatal(err)
	}
	return len(rows)
}

// connections are the ways to connect. Through a pooler, statements are not prepared.
// Where the default isolation level is another one, each is a transaction of its own.
var connections = map[string]Config{
	"prepared":            {},
	"pooler":              {Pooler: true},
	"pooler, transaction": {Pooler: true, URL: "?default_transaction_isolation=serializable"},
}

func TestOnlyClaimsOfLastAttemptsWaitForTheDisk(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	for how, config := range connections {
		d := newDurability(t, server, config)
		for form, claim := range claimForms {
			d.T = t
			check := func(what string, durable bool, maxAttempts ...int) {
				t.Helper()
				var ids []uuid.UUID
				for _, n := range maxAttempts {
					ids = append(ids, d.insert(n))
				}
				d.store.explicit.Store(config.URL != "")
				if claimed := claim(d, ids...); claimed != len(ids) {
					t.Errorf("%s, %s, %s: %d of %d claimed", how, form, what, claimed, len(ids))
				}
				if got := d.written(); got != durable {
					t.Errorf("%s, %s, %s: waited for the disk: %t", how, form, what, got)
				}
			}
			check("first attempts", false, 2, 3)
			check("an only attempt", true, 1)
			check("both", form != "by ID", 1, 2)
			check("both, in the other order", true, 2, 1)
		}
	}
}

// FAILED rows are claimed only by their IDs.
func TestAnOperatorsRetryWaitsForTheDisk(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	for how, config := range connections {
		d := newDurability(t, server, config)
		for what, claim := range map[string]func(id uuid.UUID) error{
			"by ID": func(id uuid.UUID) error {
				_, err := d.store.claimOne(t.Context(), deliveryOf(id, retried))
				return err
			},
			"by ID, among others": func(id uuid.UUID) error {
				_, err := d.store.Claim(t.Context(), id, deliveryOf(id, retried).ClaimRequest)
				return err
			},
		} {
			id := d.insert(5)
			row, err := d.store.claimOne(t.Context(), deliveryOf(id))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusFailed}); err != nil {
				t.Fatal(err)
			}
			if err := claim(id); err != nil {
				t.Fatal(err)
			}
			if got, err := d.store.Get(t.Context(), id); err != nil || got.Status != queue.StatusRunning || got.Attempts != 2 {
				t.Errorf("%+v, %v", got, err)
			}
			if !d.written() {
				t.Errorf("%s, %s: it does not wait for the disk", how, what)
			}
		}
	}
}

// A claim that finds a lost worker fails the row in a statement of its own, which may
// share the transaction of the claim that missed.
func TestALostWorkerIsRecordedDurably(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	for how, config := range connections {
		d := newDurability(t, server, config)
		id := d.insert(1)
		if _, err := d.store.claimOne(t.Context(), deliveryOf(id, func(r *queue.ClaimRequest) { r.Lease = -time.Second })); err != nil {
			t.Fatal(err)
		}
		_, err := d.store.claimOne(t.Context(), deliveryOf(id))
		if !errors.Is(err, queue.ErrWorkerLost) {
			t.Errorf("%s: %v", how, err)
		}
		if !d.written() {
			t.Errorf("%s: it does not wait for the disk", how)
		}
	}
}

// A crash of the database undoes a claim that did not wait for the disk, and with it
// whatever its worker still sends. It undoes no claim of a last attempt, and none whose
// task has ended.
func TestACrashAfterClaims(t *testing.T) {
	server := testdb.StartPostgres(t, logOptions...)
	server.HoldLog(t)
	d := newDurability(t, server, Config{})
	running := func(id uuid.UUID) queue.Claim {
		t.Helper()
		row, err := d.store.claimOne(t.Context(), deliveryOf(id))
		if err != nil {
			t.Fatal(err)
		}
		return row.Claim()
	}
	last := running(d.insert(1))
	ended := running(d.insert(2))
	if _, err := d.store.Finish(t.Context(), ended, queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Fatal(err)
	}
	undone := d.insert(2)
	lost := running(undone)
	server.LoseLog(t)
	d.store.pool.Reset() // its connections are broken

	for id, want := range map[uuid.UUID]queue.Row{
		last.ID:  {Status: queue.StatusRunning, Attempts: 1, ClaimID: last.ClaimID},
		ended.ID: {Status: queue.StatusSuccessful, Attempts: 1, ClaimID: ended.ClaimID},
		undone:   {Status: queue.StatusReady},
	} {
		row, err := d.store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if row.Status != want.Status || row.Attempts != want.Attempts || row.ClaimID != want.ClaimID {
			t.Errorf("%s, attempt %d, claim %s; want %+v", row.Status, row.Attempts, row.ClaimID, want)
		}
	}
	next := running(undone)
	if _, err := d.store.Finish(t.Context(), lost, queue.Finish{Status: queue.StatusSuccessful}); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("the finish of a lost claim: %v", err)
	}
	renewed, gone, err := d.store.Heartbeat(t.Context(), time.Minute, lost, last)
	if err != nil || len(renewed) != 1 || renewed[0] != last || len(gone) != 1 || gone[0] != lost {
		t.Errorf("renewed %v, lost %v, %v", renewed, gone, err)
	}
	for _, claim := range []queue.Claim{next, last} {
		if _, err := d.store.Finish(t.Context(), claim, queue.Finish{Status: queue.StatusSuccessful}); err != nil {
			t.Error(err)
		}
	}
}

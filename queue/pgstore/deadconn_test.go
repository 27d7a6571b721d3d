package pgstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// conns are the connections of a store, one of which dies without being closed, as
// when a firewall drops its state.
type conns struct {
	next        atomic.Bool   // the next connection that is written to dies
	answersOnly bool          // the peer receives what is written to it
	died        chan net.Conn // receives the dead connection
}

func (w *conns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	made, err := new(net.Dialer).DialContext(ctx, network, address)
	return &conn{Conn: made, conns: w}, err
}

type conn struct {
	net.Conn
	conns *conns
	dead  atomic.Bool
}

func (w *conn) Write(p []byte) (int, error) {
	if w.conns.next.CompareAndSwap(true, false) {
		w.dead.Store(true)
		w.conns.died <- w
	}
	if w.dead.Load() && !w.conns.answersOnly {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

func (w *conn) Read(p []byte) (int, error) {
	for {
		if n, err := w.Conn.Read(p); err != nil || !w.dead.Load() {
			return n, err
		}
	}
}

// connected returns a store whose calls are all part of batched statements, with four
// rows, of which two are claimed and one is finished.
func connected(t *testing.T, patience, timeout time.Duration, answersOnly bool) (s *pgstore.Store, w *conns, rows []*queue.NewRow, claims []queue.Claim) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	rows = stored(t, migrated(t, config), 4)
	w = &conns{answersOnly: answersOnly, died: make(chan net.Conn, 1)}
	config.DialFunc = w.dial
	s = open(t, config)
	s.BatchAll(patience, timeout)
	for _, row := range rows[1:] {
		claim := queue.Claim{ID: row.ID, ClaimID: uuid.New()}
		if _, err := s.Claim(t.Context(), row.ID, claimBy(claim.ClaimID)); err != nil {
			t.Fatal(err)
		}
		claims = append(claims, claim)
	}
	if _, err := s.Finish(t.Context(), claims[2], queue.Finish{Status: queue.StatusSuccessful}); err != nil { // so that this statement is prepared, too
		t.Fatal(err)
	}
	return s, w, rows, claims[:2]
}

func TestADeadConnectionDelaysNoOtherCaller(t *testing.T) {
	s, w, rows, claims := connected(t, 10*time.Millisecond, time.Hour, false)
	done := queue.Finish{Status: queue.StatusSuccessful}
	answer := make(chan error, 1)
	w.next.Store(true)
	go func() {
		_, err := s.Finish(t.Context(), claims[0], done)
		answer <- err
	}()
	dead := <-w.died
	if _, err := s.Finish(t.Context(), claims[1], done); err != nil {
		t.Error(err)
	}
	select {
	case err := <-answer:
		t.Errorf("the other finish waited until the first one had ended: %v", err)
	default:
		_ = dead.Close()
		if err := <-answer; !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("the finish on the dead connection: %v", err)
		}
	}
	if _, err := s.Claim(t.Context(), rows[0].ID, claimBy(uuid.New())); err != nil {
		t.Error(err)
	}
}

// This is so whether the request or the answer was lost.
func TestARequestOnADeadConnectionIsRepeatedOnAnother(t *testing.T) {
	for name, answersOnly := range map[string]bool{"request lost": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			s, w, rows, claims := connected(t, time.Hour, 200*time.Millisecond, answersOnly)
			onDead := func(what string, call func() error) {
				w.next.Store(true)
				if err := call(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				_ = (<-w.died).Close() // Close of the store would wait for it
			}
			row := &queue.NewRow{FreshID: true, Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`1`), MaxAttempts: 3}}
			onDead("Insert", func() error { return s.Insert(t.Context(), row) })
			if now, err := s.Get(t.Context(), row.ID); err != nil || now.Status != queue.StatusReady {
				t.Errorf("the inserted row: %+v, %v", now, err)
			}
			onDead("Finish", func() error {
				_, err := s.Finish(t.Context(), claims[0], queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`2`)})
				return err
			})
			if now, err := s.Get(t.Context(), rows[1].ID); err != nil || now.Status != queue.StatusSuccessful || string(now.ReturnValue) != "2" {
				t.Errorf("the finished row: %+v, %v", now, err)
			}
		})
	}
}

// The lease of a claim may have expired before its batch has timed out, and the row may be
// READY again: the same request would then claim it twice, under one claim ID.
func TestAClaimOnADeadConnectionIsNotRepeated(t *testing.T) {
	for name, answersOnly := range map[string]bool{"request lost": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			s, w, rows, _ := connected(t, time.Hour, 200*time.Millisecond, answersOnly)
			id := rows[0].ID
			first := claimBy(queue.NewClaimID())
			first.Lease = -time.Second
			answer := make(chan error, 1)
			w.next.Store(true)
			go func() {
				_, err := s.Claim(t.Context(), id, first)
				answer <- err
			}()
			dead := <-w.died
			defer func() { _ = dead.Close() }() // Close of the store would wait for it
			for claimed := !answersOnly; !claimed; {
				p, err := s.Promote(t.Context(), 10)
				if err != nil {
					t.Fatal(err)
				}
				claimed = p.Reclaimed > 0
			}
			if err := <-answer; !errors.Is(err, queue.ErrNoAnswer) || errors.Is(err, queue.ErrNoEffect) {
				t.Errorf("got %v, want %v", err, queue.ErrNoAnswer)
			}
			before, err := s.Get(t.Context(), id)
			if err != nil || before.Status != queue.StatusReady {
				t.Fatalf("%+v, %v", before, err)
			}
			again := claimBy(queue.NewClaimID())
			again.Unanswered = []uuid.UUID{first.ClaimID}
			row, err := s.Claim(t.Context(), id, again)
			if err != nil || row.ClaimID != again.ClaimID || row.Attempts != before.Attempts+1 {
				t.Errorf("%+v, %v", row, err)
			}
		})
	}
}

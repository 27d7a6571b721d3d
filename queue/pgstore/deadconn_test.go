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

// wires are the connections of a store, one of which falls silent without being
// closed, as when a firewall forgets it.
type wires struct {
	next        atomic.Bool   // the next one that is written to
	answersOnly bool          // what is written to it arrives
	silence     chan net.Conn // gets the one that has
}

func (w *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &wire{Conn: conn, wires: w}, err
}

type wire struct {
	net.Conn
	wires *wires
	mute  atomic.Bool
}

func (w *wire) Write(p []byte) (int, error) {
	if w.wires.next.CompareAndSwap(true, false) {
		w.mute.Store(true)
		w.wires.silence <- w
	}
	if w.mute.Load() && !w.wires.answersOnly {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	for {
		if n, err := w.Conn.Read(p); err != nil || !w.mute.Load() {
			return n, err
		}
	}
}

// wired is a store whose calls are all part of merged statements, with four rows, of
// which two are claimed, and one is finished.
func wired(t *testing.T, patience, timeout time.Duration, answersOnly bool) (s *pgstore.Store, w *wires, rows []*queue.NewRow, claims []queue.Claim) {
	config := pgstore.Config{URL: testdb.Postgres(t)}
	rows = stored(t, migrated(t, config), 4)
	w = &wires{answersOnly: answersOnly, silence: make(chan net.Conn, 1)}
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
	if _, err := s.Finish(t.Context(), claims[2], queue.Finish{Status: queue.StatusSuccessful}); err != nil { // so that this statement is prepared too
		t.Fatal(err)
	}
	return s, w, rows, claims[:2]
}

func TestASilentConnectionHoldsUpNobodyElse(t *testing.T) {
	s, w, rows, claims := wired(t, 10*time.Millisecond, time.Hour, false)
	done := queue.Finish{Status: queue.StatusSuccessful}
	answer := make(chan error, 1)
	w.next.Store(true)
	go func() {
		_, err := s.Finish(t.Context(), claims[0], done)
		answer <- err
	}()
	silent := <-w.silence
	if _, err := s.Finish(t.Context(), claims[1], done); err != nil {
		t.Error(err)
	}
	select {
	case err := <-answer:
		t.Errorf("the other finish waited until the silent one had ended: %v", err)
	default:
		_ = silent.Close()
		if err := <-answer; !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("the silent finish: %v", err)
		}
	}
	if _, err := s.Claim(t.Context(), rows[0].ID, claimBy(uuid.New())); err != nil {
		t.Error(err)
	}
}

// Whether it was the request or the answer that was lost.
func TestWhatASilentConnectionWasAskedIsAskedAgainOnAnother(t *testing.T) {
	for name, answersOnly := range map[string]bool{"request lost": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			s, w, rows, claims := wired(t, time.Hour, 200*time.Millisecond, answersOnly)
			mute := func(what string, call func() error) {
				w.next.Store(true)
				if err := call(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				_ = (<-w.silence).Close() // Close of the store would wait for it
			}
			row := &queue.NewRow{FreshID: true, Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`1`), MaxAttempts: 3}}
			mute("Insert", func() error { return s.Insert(t.Context(), row) })
			if now, err := s.Get(t.Context(), row.ID); err != nil || now.Status != queue.StatusReady {
				t.Errorf("the inserted row: %+v, %v", now, err)
			}
			mute("Finish", func() error {
				_, err := s.Finish(t.Context(), claims[0], queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`2`)})
				return err
			})
			if now, err := s.Get(t.Context(), rows[1].ID); err != nil || now.Status != queue.StatusSuccessful || string(now.ReturnValue) != "2" {
				t.Errorf("the finished row: %+v, %v", now, err)
			}
			if answersOnly {
				return // nobody knows a claim again whose answer was lost: its lease ends
			}
			mute("Claim", func() error {
				_, err := s.Claim(t.Context(), rows[0].ID, claimBy(uuid.New()))
				return err
			})
		})
	}
}

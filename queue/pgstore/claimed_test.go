package pgstore_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A claim does not read the columns that it sets. What it returns is the stored row all
// the same, also if the row had other values before.
func TestAClaimReturnsTheRowAsItIsStored(t *testing.T) {
	const lease = time.Minute + 1234567*time.Nanosecond // no whole number of microseconds
	s, config := batchingStore(t)
	claim := func(row *queue.NewRow) (*queue.Row, error) {
		req := claimBy(uuid.New())
		req.Lease, req.AllowRetry = lease, true
		return s.Claim(t.Context(), row.ID, req)
	}
	for name, claim := range map[string]func(row *queue.NewRow) (*queue.Row, error){
		"a statement of its own": func(row *queue.NewRow) (*queue.Row, error) {
			s.Single(true)
			return claim(row)
		},
		"a batched statement": func(row *queue.NewRow) (*queue.Row, error) {
			s.Single(false)
			return claim(row)
		},
		"ClaimNext": func(row *queue.NewRow) (*queue.Row, error) {
			testdb.Exec(t, config.URL, `UPDATE claimcheck_tasks SET status = 'READY', hold = 0, finished_at = NULL WHERE id = '`+row.ID.String()+`'`)
			rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 1, Worker: "w", Lease: lease})
			if len(rows) != 1 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			return rows[0], err
		},
	} {
		t.Run(name, func(t *testing.T) {
			row := stored(t, s, 1)[0]
			first, err := claim(row)
			if err != nil {
				t.Fatal(err)
			}
			failed := queue.Finish{Status: queue.StatusFailed, ReturnValue: json.RawMessage(`{"n":1}`), Errors: []queue.AttemptError{{ExceptionClassPath: "E", Message: "m"}}}
			if _, err := s.Finish(t.Context(), first.Claim(), failed); err != nil {
				t.Fatal(err)
			}
			testdb.Exec(t, config.URL, `UPDATE claimcheck_tasks SET retry_at = now(), run_after = now(), dispatch_error = 'e', dispatch_tries = 2, timeout_ms = 3, trace_context = 'c', interruptions = 1 WHERE id = '`+row.ID.String()+`'`)
			got, err := claim(row)
			if err != nil {
				t.Fatal(err)
			}
			now, err := s.Get(t.Context(), row.ID)
			if err != nil || now.Attempts != 2 || len(now.Errors) != 1 || !reflect.DeepEqual(got, now) {
				t.Errorf("claimed %+v\nstored  %+v, %v", got, now, err)
			}
		})
	}
}

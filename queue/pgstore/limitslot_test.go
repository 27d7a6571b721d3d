package pgstore

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// slotKey is the key of an advisory lock.
const slotKey = `714`

// A statement that has seen a slot free locks it after another claim has taken it, and
// has committed: its snapshot shows neither.
func TestASlotThatIsTakenMeanwhileIsNotFree(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	_, err = s.Migrate(t.Context())
	check(t, err)
	_, err = s.SetLimit(t.Context(), (queue.Limit{Kind: queue.LimitQueue, Name: "q", Running: 1}).Change())
	check(t, err)
	rows := make([]*queue.NewRow, 3)
	for i := range rows {
		rows[i] = &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`{}`), MaxAttempts: 3}}
	}
	check(t, s.Insert(t.Context(), rows...))
	claim := func(row *queue.NewRow) (*queue.Row, error) {
		return s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
	}
	first, err := claim(rows[0]) // the slot exists now
	check(t, err)
	_, err = s.Finish(t.Context(), first.Claim(), queue.Finish{Status: queue.StatusSuccessful})
	check(t, err)

	other := connected(t, url)
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_lock(`+slotKey+`)`)
	check(t, err)
	slots := make(chan int)
	late := connected(t, url)
	go func() { slots <- lockLate(t, late, rows[1].Row) }()
	for waits := false; !waits; {
		check(t, other.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = `+slotKey+`)`).Scan(&waits))
	}
	_, err = claim(rows[2])
	check(t, err)
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_unlock(`+slotKey+`)`)
	check(t, err)
	if n := <-slots; n != 0 {
		t.Error("the statement returned a slot that was taken after it began")
	}
}

// A delivery whose slot another claim is about to take is armed for a later time, and the
// answer names the limit.
func TestADeliveryIsArmedWhileAnotherClaimTakesTheSlot(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	_, err = s.SetLimit(t.Context(), (queue.Limit{Kind: queue.LimitQueue, Name: "q", Starts: 1, Per: time.Hour}).Change())
	check(t, err)
	row := &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Args: json.RawMessage(`{}`), MaxAttempts: 3}}
	check(t, s.Insert(t.Context(), row))
	other := connected(t, url)
	_, err = other.Exec(t.Context(), `INSERT INTO claimcheck_slots (kind, name, part, n, used_at) VALUES ('queue', 'q', 'starts', 1, now() - interval '2 hours')`)
	check(t, err)
	_, err = other.Exec(t.Context(), `BEGIN; SELECT FROM claimcheck_slots FOR UPDATE`)
	check(t, err)
	_, err = s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
	var refused *queue.NotClaimedError
	if !errors.As(err, &refused) || !errors.Is(err, queue.ErrLimited) || refused.Wait < 10*time.Minute || len(refused.Limits) != 1 {
		t.Fatalf("%+v, want a time to wait and the limit", err)
	}
	if due := time.Until(refused.Row.DispatchDueAt); due > 10*time.Hour {
		t.Errorf("the sweeper looks after it in %s", due)
	}
}

// lockLate looks for a slot for a row, and waits for the advisory lock when it has its
// snapshot and before it locks anything. It returns how many slots it found.
func lockLate(t *testing.T, conn *pgx.Conn, row *queue.Row) (slots int) {
	query := strings.ReplaceAll(lockClaimedQuery, ` OFFSET 0`, ` AND pg_advisory_xact_lock_shared(`+slotKey+`) IS NOT NULL OFFSET 0`)
	needs := needsOf([]storekit.Bound{{Scope: storekit.Scope{Kind: queue.LimitQueue, Name: "q"}, Running: 1}})
	mine := uuidValues([]uuid.UUID{row.ID})
	result, err := conn.Query(t.Context(), query, append(needParams(needs), mine, mine, 1, uuidValue(uuid.New()), []string{"t"}, time.Duration(0), false)...)
	if err != nil {
		t.Error(err)
		return 0
	}
	var id, rest any
	_, err = pgx.ForEachRow(result, []any{&id, &rest, nil, nil, nil, nil}, func() error {
		if id == nil {
			slots++
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return slots
}

func connected(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	check(t, session(t.Context(), conn))
	return conn
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

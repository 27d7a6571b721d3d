package chaos

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// The rules that must hold at the end.
const (
	ruleStored   = "every acknowledged task is in the table"
	ruleEnded    = "all rows are final within the bounded drain"
	ruleRollback = "nothing exists that was rolled back"
	ruleAtomic   = "an order and its task exist together or not at all"
	ruleLedger   = "the ledger has one row for each successful ledger task, and no other"
	ruleAnswer   = "a row has the final status that an answer reported"
	ruleKnown    = "every row was enqueued by a producer"
	ruleStarts   = "workers start, and end only on a signal"
	ruleFlat     = "goroutines and descriptors are back near their number at the start"
	ruleFaults   = "every kind of fault happened"
	ruleAudited  = "a row is as its last transition left it"
	ruleLetter   = "each task that has FAILED for good has enqueued its dead letter once, and no other task has"
	rulePaused   = "no claim begins while its queue is paused"
)

// stored is a row of the task table.
type stored struct {
	task, status, value string
	attempts            int
	tries               int // of the sweeper, since the last claim
	queue, key          string
	schedule            string
	// In microseconds; 0 is NULL.
	enqueued, scheduledFor, finished int64
	completes                        uuid.UUID // the group that has enqueued it
}

// state is everything that is validated, read in this order at the end, or during the
// run.
type state struct {
	ends     map[string]string // the final statuses that answers reported
	promises map[uuid.UUID]promise
	ledger   map[uuid.UUID][]tasks.Result
	orders   map[uuid.UUID]bool
	rows     map[uuid.UUID]stored
	letters  map[uuid.UUID]int // dead letters by the task that has failed
	// The history of the schedules is read before the rows in a run, and may lack the latest.
	occurrences []occurrence
	entries     []entry
}

func (r *run) readState(ctx context.Context) (s state, err error) {
	r.front.mu.Lock()
	s.ends = maps.Clone(r.front.ends)
	r.front.mu.Unlock()
	r.promises.mu.Lock()
	s.promises = maps.Clone(r.promises.all)
	r.promises.mu.Unlock()
	s.ledger, s.orders, s.rows = make(map[uuid.UUID][]tasks.Result), make(map[uuid.UUID]bool), make(map[uuid.UUID]stored)
	db := r.site.db
	var id uuid.UUID
	var line tasks.Result
	err = each(ctx, db, `SELECT task_id, attempt, worker FROM chaos_ledger`,
		func() { s.ledger[id] = append(s.ledger[id], line) }, &id, &line.Attempt, &line.Worker)
	if err != nil {
		return s, err
	}
	if err = each(ctx, db, `SELECT task_id FROM chaos_orders`, func() { s.orders[id] = true }, &id); err != nil {
		return s, err
	}
	if s.occurrences, err = r.readOccurrences(ctx); err != nil {
		return s, err
	}
	var row stored
	var completes uuid.NullUUID
	err = each(ctx, db, `SELECT id, task_path, status, attempts, dispatch_tries, coalesce(`+r.site.value+`, ''), queue_name, coalesce(unique_key, ''),
			coalesce(schedule, ''), `+r.site.micros("enqueued_at")+`, `+r.site.micros("scheduled_for")+`, `+r.site.micros("finished_at")+`, completes_group FROM claimcheck_tasks`,
		func() { row.completes = completes.UUID; s.rows[id] = row }, &id, &row.task, &row.status, &row.attempts, &row.tries, &row.value, &row.queue, &row.key,
		&row.schedule, &row.enqueued, &row.scheduledFor, &row.finished, &completes)
	if err != nil {
		return s, err
	}
	if s.letters, err = readLetters(ctx, db); err != nil {
		return s, err
	}
	s.entries, err = readAudit(ctx, db)
	return s, err
}

// readLetters counts the dead letters of each task that has failed.
func readLetters(ctx context.Context, db querier) (letters map[uuid.UUID]int, err error) {
	letters = make(map[uuid.UUID]int)
	var args []byte
	var wrong error
	err = each(ctx, db, `SELECT args FROM claimcheck_tasks WHERE task_path = '`+tasks.Letter.Name()+`'`, func() {
		var failed queue.Failed
		if err := json.Unmarshal(args, &failed); err != nil {
			wrong = err
		}
		letters[failed.ID]++
	}, &args)
	return letters, cmp.Or(err, wrong)
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each scans each row that a query finds into dest, and calls then.
func each(ctx context.Context, db querier, query string, then func(), dest ...any) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		then()
	}
	return rows.Err()
}

// settle validates a run that has ended.
func (r *run) settle(v *verdict) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := r.readState(ctx)
	if err != nil {
		r.t.Fatalf("read the final state: %v", err)
	}
	v.state = s
	r.mu.Lock()
	v.violations = append(v.violations, r.violations...)
	r.mu.Unlock()
	v.violations = append(v.violations, validate(s.entries)...)
	v.promises(s)
	v.entries(s)
	v.orders(s)
	v.successes(s)
	v.rows(s)
	v.letters(s)
	v.answers(s)
	v.paused(s)
	v.limits(s)
	v.keys(s)
	v.occurrences(s)
	v.groupsSoFar(s)
	v.groups(ctx, s)
	v.workers()
	v.flat()
	v.counts = r.counts(s)
	for _, what := range r.missing(v.counts) {
		v.broken(ruleFaults, uuid.Nil, "this has not happened: %s", what)
	}
}

// watch validates during the run what can be validated by then, and stops the run at the
// first violation.
func (r *run) watch(ctx context.Context, stop func()) {
	r.every(ctx, time.Second, func(ctx context.Context) {
		s, err := r.readState(ctx)
		if err != nil {
			return // the database is down
		}
		v := &verdict{run: r, violations: validate(s.entries)}
		v.promises(s)
		v.entries(s)
		v.answers(s)
		v.paused(s)
		v.limits(s)
		v.keys(s)
		v.occurrences(s)
		v.groupsSoFar(s)
		v.split(ctx)
		if len(v.violations) > 0 {
			r.mu.Lock()
			r.caught = v.violations
			r.mu.Unlock()
			stop()
		}
	})
}

// split finds, in one statement and so at one time, successes without their entry in the
// ledger.
func (v *verdict) split(ctx context.Context) {
	var id uuid.UUID
	_ = each(ctx, v.run.site.db, `SELECT t.id FROM claimcheck_tasks t LEFT JOIN chaos_ledger l ON l.task_id = `+v.run.site.id+`
		WHERE t.status = 'SUCCESSFUL' AND t.task_path = '`+tasks.Ledger.Name()+`' AND l.seq IS NULL`,
		func() { v.broken(ruleLedger, id, "it is successful, and there is no entry") }, &id) // or the database is down
}

// broken records a violation.
func (v *verdict) broken(rule string, id uuid.UUID, format string, args ...any) {
	v.violations = append(v.violations, violation{rule: rule, id: id.String(), text: fmt.Sprintf(format, args...)})
}

// promises compares what was acknowledged with the rows.
func (v *verdict) promises(s state) {
	for id, p := range s.promises {
		row, exists := s.rows[id]
		switch {
		case p.rolledBack && (exists || s.orders[id]):
			v.broken(ruleRollback, id, "%s: row %q, order %t", p.task, row.status, s.orders[id])
		case p.acked && !exists:
			v.broken(ruleStored, id, "%s does not exist", p.task)
		}
	}
}

// orders compares the business's orders with the tasks enqueued with them.
func (v *verdict) orders(s state) {
	for id, p := range s.promises {
		if _, exists := s.rows[id]; p.business && exists != s.orders[id] {
			v.broken(ruleAtomic, id, "%s: row %t, order %t", p.task, exists, s.orders[id])
		}
	}
}

// letters compares the dead letters with the tasks that have failed.
func (v *verdict) letters(s state) {
	for id, row := range s.rows {
		want := 0
		if row.status == "FAILED" && (row.task == tasks.Once.Name() || row.task == tasks.Poison.Name()) {
			want = 1
		}
		if got := s.letters[id]; got != want {
			v.broken(ruleLetter, id, "%s is %s: %d letters, want %d", row.task, row.status, got, want)
		}
	}
}

// rows checks the end of each row.
func (v *verdict) rows(s state) {
	last := make(map[string]*entry)
	for i := range s.entries {
		last[s.entries[i].id] = &s.entries[i]
	}
	for id, row := range s.rows {
		if !final(row.status) {
			v.broken(ruleEnded, id, "%+v", row)
		}
		if _, known := s.promises[id]; !known && row.task != tasks.Letter.Name() && row.schedule == "" && row.completes == uuid.Nil {
			v.broken(ruleKnown, id, "%s is %s", row.task, row.status)
		}
		if e := last[id.String()]; e == nil || e.status[1] != row.status || e.attempts[1] != row.attempts || e.value != row.value {
			v.broken(ruleAudited, id, "the row is %+v, its last transition %+v", row, e)
		}
	}
}

// entries compares the entries of the ledger with the tasks that wrote them.
func (v *verdict) entries(s state) {
	for id, lines := range s.ledger {
		if row := s.rows[id]; len(lines) > 1 || row.status != "SUCCESSFUL" {
			v.broken(ruleLedger, id, "%s is %s, and has %v", row.task, row.status, lines)
		}
	}
}

// successes compares the ledger tasks with the entries that they should have written.
func (v *verdict) successes(s state) {
	for id, row := range s.rows {
		if row.task != tasks.Ledger.Name() || row.status != "SUCCESSFUL" {
			continue
		}
		var out tasks.Result
		err := json.Unmarshal([]byte(row.value), &out)
		if lines := s.ledger[id]; err != nil || len(lines) != 1 || lines[0] != out {
			v.broken(ruleLedger, id, "it returned %s, and has %v", row.value, lines)
		}
	}
}

// answers compares the answers to deliveries and cancels with the rows.
func (v *verdict) answers(s state) {
	for text, status := range s.ends {
		id, err := uuid.Parse(text)
		if row := s.rows[id]; err != nil || row.status != status {
			v.broken(ruleAnswer, id, "answered %s, and is %q", status, row.status)
		}
	}
}

package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
)

// The rules that must hold when all is over.
const (
	ruleStored   = "every acknowledged task is in the table"
	ruleEnded    = "all rows are final within the bounded drain"
	ruleRollback = "nothing exists that was rolled back"
	ruleAtomic   = "an order and its task exist together or not at all"
	ruleLedger   = "the ledger has one row for each successful ledger task, and no other"
	ruleAnswer   = "what an answer said has ended, has ended so"
	ruleKnown    = "every row was enqueued by somebody"
	ruleStarts   = "workers start, and end only when they are told to"
	ruleFlat     = "goroutines and descriptors are back near where they began"
	ruleFaults   = "every kind of fault happened"
	ruleAudited  = "a row is as its last transition left it"
)

// stored is a row of the task table.
type stored struct {
	task, status, value string
	attempts            int
	tries               int // of the sweeper, since the last claim
}

// state is everything that is judged, read in this order while nothing changes,
// or while more is coming in.
type state struct {
	ends     map[string]string // what answers said has become of tasks for good
	promises map[uuid.UUID]promise
	ledger   map[uuid.UUID][]tasks.Result
	orders   map[uuid.UUID]bool
	rows     map[uuid.UUID]stored
	entries  []entry
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
	var row stored
	err = each(ctx, db, `SELECT id, task_path, status, attempts, dispatch_tries, coalesce(`+r.site.value+`, '') FROM claimcheck_tasks`,
		func() { s.rows[id] = row }, &id, &row.task, &row.status, &row.attempts, &row.tries, &row.value)
	if err != nil {
		return s, err
	}
	s.entries, err = readAudit(ctx, db)
	return s, err
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

// settle draws up the account of a run that is over.
func (r *run) settle(v *verdict) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := r.readState(ctx)
	if err != nil {
		r.t.Fatalf("read the account: %v", err)
	}
	v.state = s
	r.mu.Lock()
	v.violations = append(v.violations, r.violations...)
	r.mu.Unlock()
	v.violations = append(v.violations, judge(s.entries)...)
	v.promises(s)
	v.lines(s)
	v.orders(s)
	v.successes(s)
	v.rows(s)
	v.answers(s)
	v.workers()
	v.flat()
	v.counts = r.counts(s)
	for _, what := range r.missing(v.counts) {
		v.broken(ruleFaults, uuid.Nil, "this has not happened: %s", what)
	}
}

// watch judges while the run goes on, as far as that can be judged by then, and
// stops the run at the first violation.
func (r *run) watch(ctx context.Context, stop func()) {
	r.every(ctx, time.Second, func(ctx context.Context) {
		s, err := r.readState(ctx)
		if err != nil {
			return // the database is down just now
		}
		v := &verdict{run: r, violations: judge(s.entries)}
		v.promises(s)
		v.lines(s)
		v.answers(s)
		v.split(ctx)
		if len(v.violations) > 0 {
			r.mu.Lock()
			r.caught = v.violations
			r.mu.Unlock()
			stop()
		}
	})
}

// split looks, in one statement and so at one moment, for successes without
// their line in the ledger.
func (v *verdict) split(ctx context.Context) {
	var id uuid.UUID
	_ = each(ctx, v.run.site.db, `SELECT t.id FROM claimcheck_tasks t LEFT JOIN chaos_ledger l ON l.task_id = `+v.run.site.id+`
		WHERE t.status = 'SUCCESSFUL' AND t.task_path = '`+tasks.Ledger.Name()+`' AND l.seq IS NULL`,
		func() { v.broken(ruleLedger, id, "it is successful, and there is no line") }, &id) // or the database is down just now
}

// broken notes a violation.
func (v *verdict) broken(rule string, id uuid.UUID, format string, args ...any) {
	v.violations = append(v.violations, violation{rule: rule, id: id.String(), text: fmt.Sprintf(format, args...)})
}

// promises holds what producers were told against what is there.
func (v *verdict) promises(s state) {
	for id, p := range s.promises {
		row, exists := s.rows[id]
		switch {
		case p.rolledBack && (exists || s.orders[id]):
			v.broken(ruleRollback, id, "%s: row %q, order %t", p.task, row.status, s.orders[id])
		case p.acked && !exists:
			v.broken(ruleStored, id, "%s is not there", p.task)
		}
	}
}

// orders holds the business's orders against the tasks enqueued with them.
func (v *verdict) orders(s state) {
	for id, p := range s.promises {
		if _, exists := s.rows[id]; p.business && exists != s.orders[id] {
			v.broken(ruleAtomic, id, "%s: row %t, order %t", p.task, exists, s.orders[id])
		}
	}
}

// rows looks at how each row has ended.
func (v *verdict) rows(s state) {
	last := make(map[string]*entry)
	for i := range s.entries {
		last[s.entries[i].id] = &s.entries[i]
	}
	for id, row := range s.rows {
		if !final(row.status) {
			v.broken(ruleEnded, id, "%+v", row)
		}
		if _, known := s.promises[id]; !known {
			v.broken(ruleKnown, id, "%s is %s", row.task, row.status)
		}
		if e := last[id.String()]; e == nil || e.status[1] != row.status || e.attempts[1] != row.attempts || e.value != row.value {
			v.broken(ruleAudited, id, "the row is %+v, its last transition %+v", row, e)
		}
	}
}

// lines holds the lines of the ledger against the tasks that wrote them.
func (v *verdict) lines(s state) {
	for id, lines := range s.ledger {
		if row := s.rows[id]; len(lines) > 1 || row.status != "SUCCESSFUL" {
			v.broken(ruleLedger, id, "%s is %s, and has %v", row.task, row.status, lines)
		}
	}
}

// successes holds the ledger tasks against the lines that they should have
// written.
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

// answers holds what deliveries and cancels were told against what is there.
func (v *verdict) answers(s state) {
	for text, status := range s.ends {
		id, err := uuid.Parse(text)
		if row := s.rows[id]; err != nil || row.status != status {
			v.broken(ruleAnswer, id, "answered %s, and is %q", status, row.status)
		}
	}
}

package queuetest

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// insert stores rows, all of them or none.
func (s *Store) insert(ctx context.Context, rows []*queue.NewRow, now time.Time) error {
	c := changes{s.rows, make(map[uuid.UUID]*row)}
	stored, existed := make([]uuid.UUID, len(rows)), make([]bool, len(rows))
	for i, r := range rows {
		old, err := c.meets(ctx, r, now)
		if err != nil {
			return err
		}
		if existed[i] = old != nil; old == nil {
			if err := s.checkGroup(r); err != nil {
				return err
			}
			old = newRow(r, now)
			c.new[old.ID] = old
		}
		stored[i] = old.ID
	}
	maps.Copy(s.rows, c.new)
	for i, r := range rows {
		*r.Row, r.Existed = *s.rows[stored[i]].copied(), existed[i]
	}
	return nil
}

// changes are rows, and those that an insert stores and changes if nothing is in its way.
type changes struct{ rows, new map[uuid.UUID]*row }

// get returns the row with this ID; nil if there is none.
func (c changes) get(id uuid.UUID) *row {
	if r, ok := c.new[id]; ok {
		return r
	}
	return c.rows[id]
}

// edit returns a row that may be changed.
func (c changes) edit(id uuid.UUID) *row {
	if c.new[id] == nil {
		old := c.rows[id]
		c.new[id] = &row{*old.copied(), old.hold, old.acted, old.counted}
	}
	return c.new[id]
}

// meets returns the row that exists in place of a new one: under its ID, or else the one
// that holds its key, which it may replace. The rules are queue's.
func (c changes) meets(ctx context.Context, r *queue.NewRow, now time.Time) (*row, error) {
	if old := c.get(r.ID); old != nil {
		if !r.Matches(ctx, &old.Row) {
			return nil, &queue.IDConflictError{ID: r.ID, Row: old.copied()}
		}
		return old, nil
	}
	holder := c.holder(r.Row, now)
	if holder == nil {
		return nil, nil
	}
	replace, err := r.AgainstHolder(holder.copied())
	if err != nil {
		return nil, err
	}
	if replace {
		wanted := newRow(r, now)
		if wanted.Args, wanted.KeyID, err = r.ReplacedArgs(ctx, holder.copied()); err != nil {
			return nil, err
		}
		holder = c.edit(holder.ID)
		holder.replace(wanted, now)
	}
	return holder, nil
}

// holder returns the row that holds the key of r; nil if there is none. A row whose
// period is over releases the key.
func (c changes) holder(r *queue.Row, now time.Time) *row {
	if r.UniqueKey == "" {
		return nil
	}
	for _, rows := range []map[uuid.UUID]*row{c.rows, c.new} {
		for id := range rows {
			other := c.get(id)
			switch {
			case id == r.ID || other.Task != r.Task || other.UniqueKey != r.UniqueKey:
			case other.HoldsKey(now):
				return other
			case other.UniqueScope == queue.UniqueKept:
				c.edit(id).UniqueScope = queue.UniqueReleased
			}
		}
	}
	return nil
}

// replace gives a READY row what a new request wants.
func (r *row) replace(wanted *row, now time.Time) {
	r.KeepTicket(now)
	r.Args, r.Priority, r.RunAfter, r.RetryAt, r.ExpiresAt = wanted.Args, wanted.Priority, wanted.RunAfter, time.Time{}, wanted.ExpiresAt
	r.LimitKey, r.KeyID = wanted.LimitKey, wanted.KeyID
	r.Progress, r.Note, r.Checkpoint = nil, "", nil
	r.DispatchError, r.DispatchTries, r.DispatchDueAt = "", 0, wanted.DispatchDueAt
	r.ready(now)
}

// twin returns the row that has taken the key which a FAILED row held until it ended; nil
// if there is none.
func (s *Store) twin(r *row, now time.Time) *row {
	if r.Status != queue.StatusFailed || r.UniqueScope != queue.UniqueUnfinished {
		return nil
	}
	return changes{s.rows, make(map[uuid.UUID]*row)}.holder(&r.Row, now)
}

// expireTwin cancels a row that has the key of a FAILED one and has expired.
func (s *Store) expireTwin(r *row, now time.Time) {
	if r.Status != queue.StatusFailed || r.UniqueKey == "" {
		return
	}
	for _, other := range s.rows {
		if other.Task == r.Task && other.UniqueKey == r.UniqueKey && other.Expired(now) {
			other.expire(now)
		}
	}
}

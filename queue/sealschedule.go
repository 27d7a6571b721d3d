package queue

import (
	"bytes"
	"context"
	"encoding/json"
)

// The arguments of a schedule whose task is encrypted are sealed with the schedule's name,
// and its rows get them as they are: a tick needs neither the key nor the task.

// rowOf is what the arguments of a schedule are bound to.
func (s *Schedule) rowOf() *Row { return &Row{Task: s.Task, Schedule: s.Name} }

// checkSealedPrefix refuses arguments that would look encrypted where no column says whether
// they are: those of schedules, and of what a group enqueues.
func checkSealedPrefix(args []byte) error {
	if bytes.HasPrefix(args, []byte(sealedPrefix)) {
		return invalidf("args: a string that begins with %s cannot be the argument of a schedule, or of what a group enqueues: it would look encrypted", sealedPrefix[1:])
	}
	return nil
}

// sealSchedule seals the arguments of a schedule that is about to be stored.
func (c *Client) sealSchedule(ctx context.Context, s *Schedule) error {
	if err := checkSealedPrefix(s.Args); err != nil {
		return err
	}
	d, known := c.registry.lookup(s.Task)
	if !known || !c.encrypts(&d) {
		return nil
	}
	args, err := sealAt(ctx, c.cfg.Codec, c.keys[0], argsKind, placeSchedule, s.rowOf(), s.Args)
	if err == nil && len(args) > c.cfg.MaxBytes {
		err = invalidf("args are %d bytes of JSON, encrypted %d; at most %d are accepted", len(s.Args), len(args), c.cfg.MaxBytes)
	}
	if err != nil {
		return err
	}
	s.Args = args
	return nil
}

// revealSchedule opens the arguments of a schedule for its reader.
func (c *Client) revealSchedule(ctx context.Context, s *Schedule) {
	key := keyOfSealed(s.Args)
	if key == "" {
		return
	}
	s.KeyID = key
	args, err := openWith(ctx, c.cfg.Codec, s.rowOf(), argsKind, s.Args)
	if err != nil {
		s.Unreadable = cleanText(err.Error(), maxTextBytes)
		return
	}
	s.Args = args
}

// resealSchedule gives the arguments of a schedule the key for new rows, so that an older
// key can be removed. It leaves schedules whose key this program does not have.
func (c *Client) resealSchedule(ctx context.Context, store Scheduler, s *Schedule) error {
	old := func(s *Schedule) bool {
		key := keyOfSealed(s.Args)
		return key != "" && len(c.keys) > 0 && key != c.keys[0] && HasKey(c.keys, &Row{KeyID: key})
	}
	if !old(s) {
		return nil
	}
	_, err := c.changeSchedule(ctx, store, s.Name, func(state ScheduleState) (*ScheduleChange, error) {
		if state.Schedule == nil || !old(state.Schedule) {
			return nil, nil //nolint:nilnil // it was changed meanwhile
		}
		resealed := *state.Schedule
		args, err := openWith(ctx, c.cfg.Codec, resealed.rowOf(), argsKind, resealed.Args)
		if err != nil {
			return nil, err
		}
		resealed.Args, err = sealAt(ctx, c.cfg.Codec, c.keys[0], argsKind, placeSchedule, resealed.rowOf(), args)
		return &ScheduleChange{Schedule: &resealed}, err
	})
	return err
}

// openOccurrences opens the arguments of occurrences for middleware, as it sees those of
// other enqueues, and returns what puts back the sealed ones, to be stored. What this
// program has no key for stays sealed: its ticks enqueue that too.
func (c *Client) openOccurrences(ctx context.Context, rows []*NewRow) (seal func()) {
	stored := make([]json.RawMessage, len(rows))
	for i, row := range rows {
		stored[i] = row.Args
		if args, err := c.openValue(ctx, row.Row, argsKind, row.Args); err == nil {
			row.Args, row.Decrypted.Args = args, row.KeyID != ""
		}
	}
	return func() {
		for i, row := range rows {
			row.Args, row.Decrypted.Args = stored[i], false
		}
	}
}

package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// stateName is the document of all processes of a database.
const stateName = "notices"

// checkTime bounds one check.
const checkTime = 15 * time.Second

// Hooks returns what makes a client look after each of its sweeps.
func (n *Notices) Hooks() queue.Hooks {
	return queue.Hooks{
		Promoted: func(_ context.Context, p queue.PromoteResult) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.lost += p.Reclaimed + p.Failed
		},
		Swept: func(ctx context.Context, s queue.Swept) {
			if s.Err == nil || !errors.Is(s.Err, queue.ErrUnavailable) {
				n.checkLogged(ctx, s.Client)
			}
		},
	}
}

// CheckEvery looks at every interval until ctx ends, for a process whose client does not
// sweep: only that can report a sweeper that does not run.
func (n *Notices) CheckEvery(ctx context.Context, client *queue.Client) {
	ticker := time.NewTicker(n.checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			n.checkLogged(ctx, client)
		}
	}
}

func (n *Notices) checkLogged(ctx context.Context, client *queue.Client) {
	if err := n.Check(ctx, client); err != nil && ctx.Err() == nil && !errors.Is(err, queue.ErrUnavailable) { // the client logs that
		n.cfg.Logger.Warn("a look for problems, or the enqueue of a notice of them, failed; a sweep tries again", "error", err)
	}
}

// Check looks for problems, unless a process of this database has just done so, and
// enqueues a notice if one is due. The client's registry must have [Notices.Task], its
// store must be a [queue.Operator] and a [queue.StateKeeper].
func (n *Notices) Check(ctx context.Context, client *queue.Client) error {
	now := n.now()
	lost, due := n.begin(now)
	if !due {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	document, version, err := client.State(ctx, stateName)
	if err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	var s state
	if json.Unmarshal(document, &s) != nil {
		s = state{} // of another version of this package
	}
	// A process that has just decided on a notice enqueues it: what it finds meanwhile waits.
	if (lost == 0 || s.Pending != nil) && now.Sub(s.CheckedAt) < n.checkEvery && !s.CheckedAt.After(now.Add(n.checkEvery)) {
		return nil
	}
	// One that a process has decided on, and that it did not come to note as enqueued.
	if err := n.enqueue(ctx, client, s.Pending); err != nil {
		return err
	}
	read, err := n.read(ctx, client, now)
	if err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	found := problems.Find(read, n.rules(client), now)
	s.merge(n.items(found, lost), now, n.cfg.Interval)
	s.CheckedAt = now
	if s.Pending, err = n.decide(&s, now); err != nil {
		return err
	}
	stored, err := s.store(ctx, client, version)
	if err != nil || !stored { // not stored: another process was faster
		return err
	}
	n.mu.Lock()
	n.lost -= lost
	n.mu.Unlock()
	return n.send(ctx, client, &s)
}

// send enqueues the notice that is decided on, and notes that it did: its row may be
// deleted before the next look, and enqueued again it would be posted again.
func (n *Notices) send(ctx context.Context, client *queue.Client, s *state) error {
	if s.Pending == nil {
		return nil
	}
	if err := n.enqueue(ctx, client, s.Pending); err != nil {
		return err
	}
	id := s.Pending.ID
	document, version, err := client.State(ctx, stateName)
	if err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	var latest state
	if err := json.Unmarshal(document, &latest); err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	if latest.Pending != nil && latest.Pending.ID == id { // no other process has noted it
		latest.Pending = nil
		_, err = latest.store(ctx, client, version)
	}
	return err
}

// begin reports whether this process is to look, and how many leases it has found expired.
func (n *Notices) begin(now time.Time) (lost int, due bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if since := now.Sub(n.looked); since >= 0 && since < n.checkEvery {
		return 0, false
	}
	n.looked = now
	return n.lost, true
}

// enqueue enqueues a notice. Enqueuing it again changes nothing.
func (n *Notices) enqueue(ctx context.Context, client *queue.Client, p *pending) error {
	if p == nil {
		return nil
	}
	_, err := client.Enqueue(ctx, TaskName, p.Message, queue.WithID(p.ID))
	if err != nil && !errors.Is(err, queue.ErrIDConflict) {
		return fmt.Errorf("notice: %w", err)
	}
	return nil
}

// decide returns the notice that is due, if one is.
func (n *Notices) decide(s *state, now time.Time) (*pending, error) {
	if now.Sub(s.SentAt) < n.cfg.Interval && !s.SentAt.After(now.Add(n.cfg.Interval)) {
		return nil, nil
	}
	message := Message{Type: TaskName, Program: n.cfg.Program, At: now.UTC(), URL: n.link(problems.Page{Path: "/"})}
	for _, key := range s.keys() {
		e := s.Episodes[key]
		switch {
		case e.over(now, n.cfg.Interval):
			if e.Announced {
				until := e.SeenAt.UTC()
				e.Item.Until = &until
				message.add(&message.Over, e.Item)
			}
			delete(s.Episodes, key)
		case !e.Announced && e.certain():
			e.Announced = true
			message.add(&message.Problems, e.Item)
		}
	}
	if len(message.Problems)+len(message.Over) == 0 {
		return nil, nil
	}
	id, err := uuid.NewV7() // once: every process that enqueues the notice reads it in the state
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	s.SentAt = now
	return &pending{ID: id, Message: message}, nil
}

// items are the problems as notices have them. An operator's pause is no news, and
// without its tables the database keeps no state.
func (n *Notices) items(found []problems.Problem, lost int) (items []Item) {
	for _, p := range found {
		item := Item{Kind: string(p.Kind), Name: p.Subject, Count: p.Count, Title: p.Title, Text: p.Why, URL: n.link(p.Show)}
		switch p.Kind {
		case problems.Paused, problems.Schema:
			continue
		case problems.Lost:
			lost = max(lost, p.Count)
			continue
		case problems.Failing: // the reason is a text of an error, which may have arguments in it
			item.key = p.Subject
			item.Name = p.Show.Query[3]
			item.URL = n.link(problems.Page{Path: p.Show.Path, Query: p.Show.Query[:4]})
		}
		item.Title, item.Text = api.Clip(item.Title, 300), api.Clip(item.Text, 600)
		items = append(items, item)
	}
	if lost > 0 {
		items = append(items, Item{
			Kind: string(problems.Lost), Count: lost,
			Title: api.OneMany(lost, "The worker of 1 task is gone", "The workers of "+api.Number(lost)+" tasks are gone"),
			Text:  api.OneMany(lost, "No result was stored in time. If it has attempts left, it runs again.", "No result was stored in time. Tasks with attempts left run again."),
			URL:   n.link(problems.Page{Path: "/workers"}),
		})
	}
	return items[:min(len(items), maxEpisodes)]
}

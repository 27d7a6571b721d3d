package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// filterFlags choose tasks, as the lists of the admin pages do. Those that are left
// out choose all.
type filterFlags struct {
	Task     *string `placeholder:"NAME" help:"Only tasks of this name; with * at its end, of names that begin so."`
	Queue    *string `placeholder:"NAME" help:"Only tasks of this queue."`
	Backend  *string `placeholder:"NAME" help:"Only tasks of this backend."`
	Priority *int    `placeholder:"N" accepts:"from -100 to 100" help:"Only tasks of this priority."`
	Since    *string `placeholder:"TIME" help:"Only tasks enqueued at or after this time (RFC 3339), or at most this long ago (90m, 12h, 7d)."`
	Until    *string `placeholder:"TIME" help:"Only tasks enqueued before this time."`
	Error    *string `placeholder:"TEXT" help:"Only tasks with this text in their last error."`
}

// selection reads the flags. A flag without a value, which comes of a shell variable
// that is not set, is refused: it would choose all tasks.
func (f *filterFlags) selection(p *program, now time.Time) (s queue.Selection, err error) {
	for _, flag := range []struct {
		name  string
		value *string
		into  *string
	}{{"--task", f.Task, &s.Task}, {"--queue", f.Queue, &s.Queue}, {"--backend", f.Backend, &s.Backend}, {"--error", f.Error, &s.Error}} {
		if flag.value == nil {
			continue
		}
		if *flag.value == "" {
			return s, config.Problemf(flag.name, "must not be empty; leave it out for all")
		}
		*flag.into = *flag.value
	}
	if s.Backend != "" {
		if err := p.checkBackend(nil, s.Backend, false); err != nil {
			return s, err
		}
	}
	if s.Priority = f.Priority; f.Priority != nil {
		if err := within("--priority", *f.Priority, queue.MinPriority, queue.MaxPriority); err != nil {
			return s, err
		}
	}
	if s.Since, err = filterTime("--since", f.Since, now); err != nil {
		return s, err
	}
	s.Until, err = filterTime("--until", f.Until, now)
	return s, err
}

func filterTime(flag string, text *string, now time.Time) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	t, ok := timearg.Past(*text, now)
	if !ok {
		return t, config.Problemf(flag, "must be a time such as 2026-01-31T15:04:05Z, or how long ago it was: 90m, 12h, 7d; not %.60q", *text)
	}
	return t, nil
}

// describe says in words which tasks are chosen, for questions and the audit log.
func describe(s queue.Selection) string {
	var parts []string
	add := func(words, value string) {
		if value != "" {
			parts = append(parts, words+" "+value)
		}
	}
	add("named", s.Task)
	add("in queue", s.Queue)
	add("of backend", s.Backend)
	if s.Priority != nil {
		add("of priority", fmt.Sprint(*s.Priority))
	}
	add("enqueued since", when(s.Since))
	add("enqueued before", when(s.Until))
	if s.Error != "" {
		add("with", fmt.Sprintf("%q in the error", s.Error))
	}
	if len(parts) == 0 {
		return "all failed tasks"
	}
	return "failed tasks " + strings.Join(parts, ", ")
}

package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// filterFlags choose tasks, as the lists of the admin pages do. Those that are left
// out choose all.
type filterFlags struct {
	Task     *string  `placeholder:"NAME" help:"Only tasks of this name, in which * is any text."`
	Queue    *string  `placeholder:"NAME" help:"Only tasks of this queue."`
	Backend  *string  `placeholder:"NAME" help:"Only tasks of this backend."`
	Priority *int     `placeholder:"N" accepts:"from -100 to 100" help:"Only tasks of this priority."`
	Since    *string  `placeholder:"TIME" help:"Only tasks enqueued at or after this time (RFC 3339), or at most this long ago (90m, 12h, 7d)."`
	Until    *string  `placeholder:"TIME" help:"Only tasks enqueued before this time."`
	Error    *string  `placeholder:"TEXT" help:"Only tasks with this text in their last error."`
	Group    *string  `placeholder:"UUID" help:"Only tasks of this group."`
	Args     []string `name:"args" sep:"none" placeholder:"FIELD=VALUE" help:"Only tasks with this value in their arguments, as in user.id=4711; repeatable, and then all must match."`
	Text     *string  `placeholder:"TEXT" help:"Only tasks with this text in their arguments, return value, note or errors."`
}

// selection reads the flags. A flag without a value, which comes of a shell variable
// that is not set, is refused: it would choose all tasks.
func (f *filterFlags) selection(p *program, now time.Time) (s queue.Selection, err error) {
	for _, flag := range []struct {
		name  string
		value *string
		into  *string
	}{{"--task", f.Task, &s.Task}, {"--queue", f.Queue, &s.Queue}, {"--backend", f.Backend, &s.Backend}, {"--error", f.Error, &s.Error}, {"--text", f.Text, &s.Text}} {
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
	if s.Until, err = filterTime("--until", f.Until, now); err != nil {
		return s, err
	}
	if f.Group != nil {
		if s.MemberOf, err = api.ParseID(*f.Group); err != nil || s.MemberOf == uuid.Nil {
			return s, config.Problemf("--group", "must be the ID of a group, such as 01890a5d-ac96-774b-bcce-b302099a8057, not %.60q", *f.Group)
		}
	}
	for _, text := range f.Args {
		path, value, ok := strings.Cut(text, "=")
		if !ok || path == "" {
			return s, config.Problemf("--args", "must be FIELD=VALUE, as in user.id=4711, not %.60q", text)
		}
		s.Args = append(s.Args, queue.ArgFilter{Path: path, Value: value})
	}
	s.Hidden = p.redacts()
	return s, refused(s.Check())
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
	if s.MemberOf != uuid.Nil {
		add("of group", s.MemberOf.String())
	}
	for _, arg := range s.Args {
		add("with", "args."+arg.Path+" = "+arg.Value)
	}
	if s.Text != "" {
		add("with", fmt.Sprintf("the text %q", s.Text))
	}
	if len(parts) == 0 {
		return "all failed tasks"
	}
	return "failed tasks " + strings.Join(parts, ", ")
}

package queue

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Selection selects rows; an empty field selects all.
type Selection struct {
	// IDs, at most 1000, and IDPrefixes, which are beginnings of IDs as [IDPrefix] returns
	// them, at most 100: rows with one of either are selected.
	IDs        []uuid.UUID
	IDPrefixes []string
	View       View // empty: ViewAll
	Queue      string
	Backend    string
	Task       string // the whole name, or a pattern, in which * is any text
	Priority   *int
	// Enqueued at or after Since, and before Until.
	Since, Until time.Time
	MemberOf     uuid.UUID // the group ([InGroup]) whose members are selected
	Group        string    // AttemptError.Group of the last error
	Error        string    // part of the last error's type or text, ignoring case
	Stranded     bool      // READY, and past DispatchDueAt, unless its queue is paused
	Parked       bool      // as Row.Parked; such rows are in no view but ViewAll
	Limited      bool      // READY, and found to be over a limit ([Limiter]); such rows are in no view but ViewAll
	// Rows that are left out: those of queues, those of names, and those that Limited selects.
	ExceptQueues  []string
	ExceptTasks   []string
	ExceptLimited bool

	// Args are values in the arguments, all of which a row must have, and Text is text in
	// the arguments, the return value, the note or the errors, ignoring case: see
	// [Selection.MatchesContents]. [Client.List], [Client.Act] and [Client.CountMatching]
	// decrypt rows for them.
	Args []ArgFilter
	Text string
	// Hidden reports whether the contents of a task of this name are hidden: Args and Text
	// then match none of its rows, nor the rows that [OnFailed] made of them. Otherwise a
	// reader could find out, by searching, what is hidden. nil: none are. A [Client] asks it
	// for all names of a task ([Registry.ByAnyName]).
	Hidden func(task string) bool
}

// The most that a Selection may have.
const (
	maxIDs        = 1000
	maxPrefixes   = 100
	maxArgFilters = 20
	maxSearched   = 1000 // bytes of a value or text that is searched for
)

// Check returns [ErrInvalid] for a selection that no store understands. Stores call
// it.
func (s *Selection) Check() error {
	if s.View == "" {
		s.View = ViewAll
	}
	switch {
	case !slices.Contains(Views(), s.View):
		return invalidf("view %.40q is not known; known: %v", s.View, Views())
	case len(s.IDs) > maxIDs:
		return invalidf("at most %d IDs are accepted, not %d", maxIDs, len(s.IDs))
	case len(s.IDPrefixes) > maxPrefixes:
		return invalidf("at most %d beginnings of IDs are accepted, not %d", maxPrefixes, len(s.IDPrefixes))
	case len(s.Args) > maxArgFilters:
		return invalidf("at most %d filters on arguments are accepted, not %d", maxArgFilters, len(s.Args))
	case len(s.Text) > maxSearched:
		return invalidf("the text to search for may have at most %d bytes, not %d", maxSearched, len(s.Text))
	}
	for _, prefix := range s.IDPrefixes {
		if normal, ok := IDPrefix(prefix); !ok || normal != prefix {
			return invalidf("%.60q is not the beginning of an ID, as IDPrefix returns it", prefix)
		}
	}
	for _, arg := range s.Args {
		if err := arg.check(); err != nil {
			return err
		}
	}
	return nil
}

// IDPrefix returns the beginning of an ID as [Selection].IDPrefixes has it: in lower case,
// with the hyphens of an ID. The text may be written without them. ok is false for
// anything else, and for a whole ID.
func IDPrefix(text string) (prefix string, ok bool) {
	digits := strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if digits == "" || len(digits) >= 32 || strings.Trim(digits, "0123456789abcdef") != "" || len(text) > 36 {
		return "", false
	}
	prefix = withHyphens(digits)
	if strings.Contains(text, "-") && strings.TrimSuffix(strings.ToLower(text), "-") != prefix {
		return "", false // a hyphen in another place
	}
	return prefix, true
}

// withHyphens writes the first digits of an ID.
func withHyphens(digits string) string {
	var b strings.Builder
	for i, digit := range digits {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b.WriteByte('-')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// IDRange returns the first and the last ID that begin with one of [Selection].IDPrefixes.
// Stores call it.
func IDRange(prefix string) (first, last uuid.UUID) {
	digits := strings.ReplaceAll(prefix, "-", "")
	rest := 32 - len(digits)
	return uuid.MustParse(digits + strings.Repeat("0", rest)), uuid.MustParse(digits + strings.Repeat("f", rest))
}

// HasID reports whether the selection's IDs and beginnings of IDs have this one, or there
// are none.
func (s *Selection) HasID(id uuid.UUID) bool {
	if len(s.IDs)+len(s.IDPrefixes) == 0 || slices.Contains(s.IDs, id) {
		return true
	}
	text := id.String()
	return slices.ContainsFunc(s.IDPrefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// HasTask reports whether the selection's Task is this name, or a pattern of it, or empty.
func (s *Selection) HasTask(name string) bool {
	parts := strings.Split(s.Task, "*")
	if len(parts) == 1 {
		return s.Task == "" || s.Task == name
	}
	name, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] { // the first place is as good as any
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, parts[last])
}

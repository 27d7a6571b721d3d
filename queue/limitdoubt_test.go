package queue_test

import (
	"context"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A limit of each key in the configuration is refused if its task has none: it would
// limit nothing.
func TestLimitsOfEachKeyNeedATaskWithKeys(t *testing.T) {
	tasks := queue.NewRegistry(queue.NewTask("plain", nothing),
		queue.NewTask("keyed", func(context.Context, string) (string, error) { return "", nil }, queue.LimitKey(func(s string) string { return s })))
	for name, want := range map[string]string{
		"keyed":  "",
		"plain":  "Config.Limits[0]: task plain needs LimitKey",
		"nosuch": `Config.Limits[0]: task "nosuch" is not registered`,
		"keyde":  "did you mean keyed?",
	} {
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: tasks, Limits: []queue.Limit{{Kind: queue.LimitEach, Name: name, Running: 1}}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// What limits nothing, as far as the program knows, is doubted.
func TestDoubtsOfLimits(t *testing.T) {
	keyed := queue.NewTask("mail.send", func(context.Context, string) (string, error) { return "", nil }, queue.LimitKey(func(s string) string { return s }))
	plain := queue.NewTask("plain", nothing, queue.OnQueue("bulk"))
	with, without := newSystem(t, setup{}, keyed, plain), newSystem(t, setup{}, plain)
	for _, c := range []struct {
		sys  *system
		kind queue.LimitKind
		name string
		want string
	}{
		{with, queue.LimitQueue, "bulk", ""},
		{with, queue.LimitQueue, "bukl", "no recent task has the queue bukl: is the name right?"},
		{with, queue.LimitEach, "mail.send", ""},
		{with, queue.LimitEach, "plain", "task plain has no LimitKey"},
		{with, queue.LimitEach, "mail.sned", "did you mean mail.send?"},
		{with, queue.LimitName, "plain", ""},
		{with, queue.LimitName, "mail.sned", "did you mean mail.send?"},
		{with, queue.LimitName, "tenant-17", ""},
		{with, queue.LimitName, "bulk", "is that of a queue"},
		{without, queue.LimitName, "tenant-17", "none has a LimitKey"},
	} {
		got := c.sys.client.LimitDoubt(t.Context(), queue.Limit{Kind: c.kind, Name: c.name})
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %q, want %q", c.kind, c.name, got, c.want)
		}
	}
}

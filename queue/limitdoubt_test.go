package queue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

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

// What is removed although it never was is not recorded: code may set it later.
func TestRemovingNoLimitRecordsNothing(t *testing.T) {
	store := newStore(t)
	before := newSystem(t, setup{store: store}, queue.NewTask("t", nothing))
	if l, err := before.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitName, Name: "t"}, "ann"); err != nil || l.Set() {
		t.Errorf("%+v, %v", l, err)
	}
	if log, err := before.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10); err != nil || len(log) != 0 {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	after := newSystem(t, setup{store: store}, queue.NewTask("t", nothing, queue.LimitRunning(2)))
	if err := after.client.ApplyLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if limits, err := after.client.Limits(t.Context()); err != nil || len(limits) != 1 || limits[0].Running != 2 || !limits[0].Code {
		t.Errorf("%+v, %v", limits, err)
	}
	if log := after.log.String(); strings.Contains(log, "an operator has changed") {
		t.Error(log)
	}
	after.limit(queue.Limit{Kind: queue.LimitName, Name: "t"})
	again := newSystem(t, setup{store: store}, queue.NewTask("t", nothing, queue.LimitRunning(3)))
	if err := again.client.ApplyLimits(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := again.log.String(); !strings.Contains(log, "an operator has changed or removed a limit that the code sets") || !strings.Contains(log, "name t: no limit") {
		t.Error(log)
	}
}

package chaos

import (
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/internal/mutate"
)

// onlyKeys configures a run in which most enqueues meet a key.
func onlyKeys(o *options) {
	o.mixture, o.rate, o.keys = []kind{{tasks.Keyed.Name(), 100, 1}}, 300, 1
	o.only, o.pace = []string{"SIGKILL"}, 2*time.Second
}

// manyKills configures a run whose ticks are killed again and again.
func manyKills(o *options) {
	o.only, o.pace, o.rate = []string{"SIGKILL"}, 300*time.Millisecond, 20
}

// onceMutations remove what makes keys, schedules and pauses hold.
var onceMutations = []mutation{
	{
		name:   "keys without their unique index",
		breaks: []string{ruleKey},
		schema: []string{ // each row is unique by its ID
			`DROP INDEX claimcheck_tasks_unique`,
			`CREATE UNIQUE INDEX claimcheck_tasks_unique ON claimcheck_tasks (task_path, unique_key, id)`,
		},
		change: onlyKeys,
	},
	{
		name:   "an enqueue that meets a key acknowledges its own row",
		breaks: []string{ruleStored},
		edits: []mutate.Edit{{
			File: "queue/internal/storekit/keyed.go",
			Old:  "	k.done[i] = Inserted{Row: holder.Row, Existed: true}",
			New:  "	k.done[i] = Inserted{Row: request.Row, Existed: true}",
		}},
		change: onlyKeys,
	},
	{
		name:   "ticks that do not compare the next time under the lock",
		breaks: []string{ruleOnce},
		edits: []mutate.Edit{
			{File: "queue/pgstore/schedule.go", Old: "FROM claimcheck_schedules AS s WHERE name = $1::text FOR UPDATE SKIP LOCKED`", New: "FROM claimcheck_schedules AS s WHERE name = $1::text`"},
			{File: "queue/pgstore/schedule.go", Old: "nullif($4::text, '')) ON CONFLICT (schedule, scheduled_for) DO NOTHING`", New: "nullif($4::text, ''))`"},
		},
		schema: []string{`ALTER TABLE claimcheck_occurrences DROP CONSTRAINT claimcheck_occurrences_pkey`},
		change: manyKills,
	},
	{
		name:   "a tick that stores the next time before the task",
		breaks: []string{ruleEach},
		edits: []mutate.Edit{{
			File: "queue/tick.go",
			Old:  "	err := within(ctx, statementTimeout, func(ctx context.Context) error {\n		return store.ChangeSchedule(",
			New: "	var held *ScheduleChange\n" +
				"	if within(ctx, statementTimeout, func(ctx context.Context) error {\n" +
				"		return store.ChangeSchedule(ctx, name, func(s ScheduleState) (*ScheduleChange, error) {\n" +
				"			held = nil\n" +
				"			made, err := change(s)\n" +
				"			if err != nil || made == nil || len(made.Rows) == 0 {\n" +
				"				return nil, nil\n" +
				"			}\n" +
				"			held = made\n" +
				"			return &ScheduleChange{Schedule: made.Schedule}, nil\n" +
				"		})\n" +
				"	}) == nil && held != nil {\n" +
				"		time.Sleep(200 * time.Millisecond)\n" +
				"		change = func(s ScheduleState) (*ScheduleChange, error) {\n" +
				"			return &ScheduleChange{Schedule: s.Schedule, Rows: held.Rows}, nil\n" +
				"		}\n" +
				"	}\n" +
				"	err := within(ctx, statementTimeout, func(ctx context.Context) error {\n		return store.ChangeSchedule(",
		}},
		change: manyKills,
	},
	{
		name:   "a resume that forgets rows",
		breaks: []string{ruleEnded},
		edits: []mutate.Edit{{ // those whose delivery was refused
			File: "queue/pgstore/gate.go",
			Old:  "dispatch_due_at = `+unparked, isParkedDue) + `",
			New:  "dispatch_due_at = `+unparked, isParkedDue+` AND dispatch_due_at > `+parkedNow) + `",
		}},
		change: func(o *options) { o.duration, o.drain, o.workersSweep = 5*time.Second, 10*time.Second, true },
	},
	{
		name:   "groups that succeed while their tasks run",
		breaks: []string{ruleGroupEnd},
		edits: []mutate.Edit{{
			File: "queue/pgstore/groupend.go",
			Old:  "m.state IN (0, 2, 3, 4))`",
			New:  "m.state IN (2, 3, 4))`",
		}},
	},
	{
		name:   "groups that enqueue their end without a lock, under any ID",
		breaks: []string{ruleGroupEnd},
		edits: []mutate.Edit{
			{File: "queue/pgstore/groupend.go", Old: "groupQuery + ` FOR NO KEY UPDATE SKIP LOCKED`", New: "groupQuery"},
			{File: "queue/group.go", Old: "	if success {\n		return uuid.NewSHA1(", New: "	if group != uuid.Nil {\n		return uuid.New()\n	}\n	if success {\n		return uuid.NewSHA1("},
		},
	},
	{
		name:   "groups whose end nobody looks for after a kill",
		breaks: []string{ruleEnded, ruleGroupEnd},
		edits: []mutate.Edit{
			{File: "queue/groupend.go", Old: "	for more := err == nil; more", New: "	for more := false; more"},
			{File: "queue/groupend.go", Old: "	if looked := c.groups.begin(id)", New: "	time.Sleep(300 * time.Millisecond)\n	if looked := c.groups.begin(id)"},
		},
		change: func(o *options) {
			manyKills(o)
			o.duration, o.drain, o.workersSweep = 8*time.Second, 15*time.Second, true
		},
	},
	{
		name:   "ends of members that are not counted",
		breaks: []string{ruleCounted},
		schema: []string{`ALTER TABLE claimcheck_tasks DISABLE TRIGGER claimcheck_count_finished`},
		change: func(o *options) { o.duration, o.drain = 4*time.Second, 8*time.Second },
	},
	{
		name: "MariaDB: groups that succeed while their tasks run", site: newMariaDB,
		breaks: []string{ruleGroupEnd},
		edits: []mutate.Edit{{
			File: "queue/internal/sqlstore/groupend.go",
			Old:  "m.state IN (0, 2, 3, 4))`",
			New:  "m.state IN (2, 3, 4))`",
		}},
	},
	{
		name: "MariaDB: ticks that do not compare the next time under the lock", site: newMariaDB,
		breaks: []string{ruleOnce},
		edits: []mutate.Edit{
			{File: "queue/internal/sqlstore/schedulechange.go", Old: "tx.QueryRowContext(ctx, find+tx.store.dialect.lockRows, name)", New: "tx.QueryRowContext(ctx, find, name)"},
			{File: "queue/internal/sqlstore/schedulechange.go", Old: "	if err != nil || exists {", New: "	if err != nil {"},
		},
		schema: []string{`ALTER TABLE claimcheck_occurrences DROP PRIMARY KEY`},
		change: manyKills,
	},
	{
		name: "MariaDB: keys without their unique index", site: newMariaDB,
		breaks: []string{ruleKey},
		schema: []string{`ALTER TABLE claimcheck_tasks DROP INDEX claimcheck_tasks_unique, ADD INDEX claimcheck_tasks_unique (unique_held)`},
		change: onlyKeys,
	},
}

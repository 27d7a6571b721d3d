package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/internal/mutate"
)

var mutationsFlag = flag.Bool("chaos.mutations", false, "run all mutations, not only the fastest")

// mutation is the product without one of its guards, which a run must detect.
type mutation struct {
	name   string
	fast   bool                            // detected within seconds, so that every test run includes it
	breaks []string                        // the rules of which it must break one; none: it breaks no rule
	site   func(*testing.T, options) *site // nil: PostgreSQL
	edits  []mutate.Edit
	schema []string // statements that change the tables
	change func(*options)
}

// zombies configures a run with workers that continue after their claims are lost, and
// end the tasks nevertheless.
func zombies(o *options) {
	o.only = []string{"SIGSTOP past the lease"}
	o.mixture, o.rate = []kind{{tasks.Stubborn.Name(), 100, 3000}}, 6 // more would occupy all slots
}

var mutations = slices.Concat(claimMutations, onceMutations)

var claimMutations = []mutation{
	{
		name:   "nothing (the control)",
		change: func(o *options) { o.duration = 15 * time.Second },
	},
	{
		name: "no lease check in the claim", fast: true,
		breaks: []string{ruleLease},
		edits: []mutate.Edit{{
			File: "queue/pgstore/claim.go",
			Old:  "OR status = 'RUNNING' AND attempts < max_attempts AND lease_expires_at <= now()",
			New:  "OR status = 'RUNNING' AND attempts < max_attempts",
		}},
	},
	{
		name:   "a split transaction",
		breaks: []string{ruleLedger},
		edits: []mutate.Edit{{
			File: "queue/tx.go",
			Old:  "_, err = r.executor.store.FinishTx(ctx, tx, r.claim, ",
			New:  "_, err = r.executor.store.Finish(ctx, r.claim, ",
		}},
	},
	{
		name:   "no finish fence",
		breaks: []string{ruleFence, ruleFinal, ruleLedger},
		edits: []mutate.Edit{{
			File: "queue/pgstore/finish.go",
			Old:  "finishPlainQuery = finishSetting(setFinished) + ` WHERE id = ` + freeRow(holds+` AND `+notKept) + returnFinished",
			New:  "finishPlainQuery = finishSetting(setFinished) + ` WHERE id = $1::uuid AND status = 'RUNNING' AND $2::uuid IS NOT NULL` + returnFinished",
		}, {
			File: "queue/pgstore/batched.go",
			Old:  "AND claim_id = c.fence FOR UPDATE",
			New:  "AND c.fence IS NOT NULL FOR UPDATE",
		}},
		change: zombies,
	},
	{
		name:   "no fence for retries",
		breaks: []string{ruleFence, ruleFinal, ruleAttempts, ruleLegal},
		edits: []mutate.Edit{{
			File: "queue/pgstore/finish.go",
			Old:  "refundIf(`$8::bool`) + underFreeClaim",
			New:  "refundIf(`$8::bool`) + ` WHERE id = $1::uuid AND $2::uuid IS NOT NULL`",
		}},
		change: zombies,
	},
	{
		name:   "a sweeper that acts on what it read",
		breaks: []string{ruleLease, ruleFinal},
		edits: []mutate.Edit{{
			File: "queue/pgstore/promote.go",
			Old:  "return count(conn.Exec(ctx, reclaimQuery, limit))",
			New: "var expired string\n" +
				"if err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(id::text, ','), '') FROM claimcheck_tasks\n" +
				"	WHERE status = 'RUNNING' AND lease_expires_at <= now() AND attempts < max_attempts`).Scan(&expired); err != nil {\n" +
				"	return 0, err\n" +
				"}\n" +
				"time.Sleep(300 * time.Millisecond)\n" +
				"return count(conn.Exec(ctx, `UPDATE claimcheck_tasks SET `+setReclaimed+`\n" +
				"	WHERE id = ANY(string_to_array($1, ',')::uuid[])`, expired))",
		}},
		change: func(o *options) {
			o.only, o.workersSweep = []string{"SIGKILL", "SIGSTOP past the lease"}, true
			o.pace = time.Second // sweeps too must find a worker that is up
		},
	},
	{
		name:   "no sweeper",
		breaks: []string{ruleEnded},
		change: func(o *options) { o.noSweeper, o.duration, o.drain = true, 5*time.Second, 10*time.Second },
	},
	{
		name:   "claims that do not look whether their queue is paused",
		breaks: []string{rulePaused},
		edits: []mutate.Edit{{
			File: "queue/pgstore/gate.go",
			Old:  "AND starts IS NULL THEN name END FROM claimcheck_gates WHERE ` + isClosed + `))`",
			New:  "AND starts IS NULL THEN name END FROM claimcheck_gates WHERE ` + isLimit + `))`",
		}},
	},
	{
		name:   "claims that do not look whether a slot is taken",
		breaks: []string{ruleLimit},
		edits: []mutate.Edit{{
			File: "queue/pgstore/limitslot.go",
			Old:  "AND s.n <= u.bound AND NOT ` + taken(mine) + ` AND NOT ` + takenAbove(mine)",
			New:  "AND s.n <= u.bound AND NOT ` + takenAbove(mine)",
		}},
	},
	{
		name:   "synchronous_commit = off",
		breaks: []string{ruleStored, ruleAnswer},
		edits: []mutate.Edit{{ // or the store refuses it
			File: "queue/pgstore/open.go",
			Old:  `if setting == "off" {`,
			New:  `if setting == "none" {`,
		}},
		change: func(o *options) {
			o.lazyCommits, o.only = true, []string{"database crash"}
			o.duration, o.pace = 9*time.Second, 2*time.Second
		},
	},
	{
		name: "MariaDB: no finish fence", site: newMariaDB,
		breaks: []string{ruleFence, ruleFinal, ruleLedger},
		edits: []mutate.Edit{{
			File: "queue/internal/sqlstore/finish.go",
			Old:  "case row.ClaimID != claim.ClaimID || claim.ClaimID == uuid.Nil:",
			New:  "case claim.ClaimID == uuid.Nil:",
		}},
		change: zombies,
	},
	{
		name: "MariaDB: claims that do not look whether their queue is paused", site: newMariaDB,
		breaks: []string{rulePaused},
		edits: []mutate.Edit{{
			File: "queue/internal/sqlstore/claim.go",
			Old:  "isPaused := !locked && ",
			New:  "isPaused := locked && ",
		}},
	},
	{
		name: "MariaDB: claims of one limit that do not take turns", site: newMariaDB,
		breaks: []string{ruleLimit},
		edits: []mutate.Edit{{
			File: "queue/internal/sqlstore/limitroom.go",
			Old:  `if tx.store.dialect.lockRow == "" {`,
			New:  `if tx.store.dialect.lockRow != "x" {`,
		}},
	},
	{
		name: "MariaDB: rows are not locked", site: newMariaDB,
		breaks: []string{ruleLease, ruleAttempts, ruleFence, ruleFinal},
		edits:  []mutate.Edit{{File: "queue/internal/sqlstore/dialect.go", Old: `" FOR UPDATE SKIP LOCKED",`, New: `"",`}},
	},
}

// lastAttempts is the mutation that TestADatabaseCrashUndoesClaimsButNoLastAttempt must
// detect: claims of last attempts do not wait for the disk.
var lastAttempts = []mutate.Edit{{
	File: "queue/pgstore/claim.go",
	Old:  "const durable = `(status = 'FAILED' OR attempts + 1 >= max_attempts)`",
	New:  "const durable = `(status = 'FAILED')`",
}}

// TestMutationsFitTheSource notices a change of the source that a mutation has not
// followed, without building or running anything.
func TestMutationsFitTheSource(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) { mutate.Check(t, m.edits) })
	}
	t.Run("last attempts", func(t *testing.T) { mutate.Check(t, lastAttempts) })
}

// The test of a database crash detects that claims of last attempts do not wait for the
// disk.
func TestMutationsOfLastAttempts(t *testing.T) {
	if !*mutationsFlag {
		t.Log("only with -chaos.mutations")
		return
	}
	tests := filepath.Join(t.TempDir(), "chaos.test")
	mutate.BuildTest(t, "./internal/chaos", tests, lastAttempts)
	ctx, cancel := context.WithTimeout(t.Context(), 2*longestMutation)
	defer cancel()
	command := exec.CommandContext(ctx, tests, "-test.run=^TestADatabaseCrashUndoesClaimsButNoLastAttempt$/^delivered$") //nolint:gosec // built above
	command.WaitDelay = time.Second
	out, err := command.CombinedOutput()
	if exited := new(exec.ExitError); !errors.As(err, &exited) || !strings.Contains(string(out), "SUCCESSFUL after 1 attempts and 2 runs") {
		t.Errorf("the test did not detect it: %v\n%s", err, out)
	}
}

// longestMutation is how long a run may take to detect a mutation.
const longestMutation = time.Minute

// TestMutations shows that the run detects a missing guard: each mutation must break a
// rule, and the unchanged product none.
func TestMutations(t *testing.T) {
	var results strings.Builder
	for i, m := range mutations {
		if !m.fast && !*mutationsFlag {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			result := m.run(t, i)
			fmt.Fprintf(&results, "  %-36s %s, after %s\n", m.name, result, time.Since(began).Round(100*time.Millisecond))
		})
	}
	t.Logf("mutations:\n%s", &results)
}

// run runs the mutated product until a rule is broken, and returns which.
func (m mutation) run(t *testing.T, number int) string {
	o := newOptions(t, longestMutation, 0)
	o.duration, o.impatient, o.soak = longestMutation, true, false
	if m.change != nil {
		m.change(&o)
	}
	if m.edits != nil {
		o.worker = filepath.Join(programs, fmt.Sprintf("mutant%d", number))
		mutate.Build(t, "./internal/chaos/worker", o.worker, m.edits)
	}
	database := newPostgres
	if m.site != nil {
		database = m.site
	}
	changed := database(t, o)
	execAll(t, changed.db, m.schema...)
	r := start(t, o, changed, 3)
	v := r.execute()
	broken := r.caught
	if len(broken) == 0 {
		broken = v.violations
	}
	if m.breaks == nil {
		v.report(t)
		return "breaks nothing"
	}
	for _, x := range broken {
		if slices.Contains(m.breaks, x.rule) {
			t.Logf("-chaos.seed=%d: %+v", o.seed, x)
			return fmt.Sprintf("breaks %q", x.rule)
		}
	}
	t.Errorf("the run did not detect it (-chaos.seed=%d); broken: %+v", o.seed, broken)
	return "NOT DETECTED"
}

package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

func TestResultWatchShowsProgressAndNotesUntilTheEnd(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		c := newCLI(t)
		id := uuid.MustParse(strings.TrimSpace(c.ok("enqueue", "demo.echo", "1")))
		store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: c.env["DATABASE_URL"]})
		if err != nil {
			t.Fatal(err)
		}
		row, err := store.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"demo.echo"}, Worker: "w", Lease: time.Hour, ClaimID: queue.NewClaimID()})
		if err != nil {
			t.Fatal(err)
		}
		report := func(done int, note string) {
			t.Helper()
			report := queue.Report{Progress: &queue.TaskProgress{Done: done, Total: 4}, Note: &note}
			if _, _, err := store.HeartbeatReports(t.Context(), time.Hour, map[queue.Claim]queue.Report{row.Claim(): report}, row.Claim()); err != nil {
				t.Fatal(err)
			}
		}
		report(1, "first\npage")

		args := []string{"result", id.String(), "--watch"}
		if asJSON {
			args = append(args, "--json")
		}
		out, in := io.Pipe()
		var stderr bytes.Buffer
		status := make(chan int, 1)
		go func() {
			n := realMain(context.Background(), args, config.Environment(c.env), &program{own: Config{Name: "server", Tasks: testTasks}, stdout: in, stderr: &stderr})
			_ = in.Close()
			status <- n
		}()
		lines := bufio.NewScanner(out)
		var seen []string
		for lines.Scan() {
			line := lines.Text()
			seen = append(seen, line)
			switch {
			case strings.Contains(line, "first"):
				report(2, "second page")
			case strings.Contains(line, "second page") && strings.Contains(line, "RUNNING"):
				if _, err := store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: []byte(`7`)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := []string{"RUNNING  attempt 1 of 10  1 of 4 (25%)  first page", "RUNNING  attempt 1 of 10  2 of 4 (50%)  second page"}
		if asJSON {
			want = []string{`"progress":{"done":1,"total":4},"note":"first\npage"`, `"progress":{"done":2,"total":4},"note":"second page"`, `"status":"SUCCESSFUL"`}
		}
		for i, part := range want {
			if i >= len(seen) || !strings.Contains(seen[i], part) {
				t.Errorf("line %d of %q has no %s", i+1, seen, part)
			}
		}
		if all := strings.Join(seen, "\n"); !asJSON && (!strings.Contains(all, "progress  2 of 4 (50%)") || !strings.Contains(all, "returned  7")) || asJSON && len(seen) != 3 {
			t.Errorf("%s", all)
		}
		if n := <-status; n != 0 {
			t.Errorf("status %d: %s", n, &stderr)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestResultWatchEndsWhenItIsInterrupted(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("enqueue", "demo.echo", "1"))
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	status := make(chan int, 1)
	go func() {
		var stderr bytes.Buffer
		status <- realMain(ctx, []string{"result", id, "--watch"}, config.Environment(c.env), &program{own: Config{Name: "server", Tasks: testTasks}, stdout: in, stderr: &stderr})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "READY  attempt 0 of 10") {
		t.Errorf("%q, %v", line, err)
	}
	interrupt()
	if n := <-status; n != 1 {
		t.Errorf("status %d", n)
	}
}

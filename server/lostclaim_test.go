package server

import (
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/chaos/proxy"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// A command that claims waits until a claim whose answer was lost is undone: the task does not
// wait for the lease, and no attempt counts.
func TestCommandsUndoClaimsWhoseAnswersWereLost(t *testing.T) {
	for _, command := range []string{"work", "run"} {
		t.Run(command, func(t *testing.T) {
			c := newCLI(t)
			direct, err := url.Parse(testdb.StartPostgres(t).URL("postgres"))
			if err != nil {
				t.Fatal(err)
			}
			between, err := proxy.Start(direct.Host, proxy.Postgres)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(between.Close)
			through := *direct
			through.Host, through.RawQuery = between.Addr(), "sslmode=disable" // what the proxy can read
			use := func(u *url.URL) { c.env["DATABASE_URL"], c.env["TASKS_MODE"] = u.String(), "pull" }
			use(direct)
			c.ok("migrate")
			id := strings.TrimSpace(c.ok("enqueue", "demo.echo", `{"a":1}`))
			use(&through)
			args := []string{command}
			if command == "run" {
				args = append(args, id)
			}
			between.CutAfterCommit(1)
			status, stdout, stderr := c.call("", args...)
			if cuts := between.Cuts(); len(cuts) != 1 {
				t.Fatalf("cut off: %v; status %d\n%s%s", cuts, status, stdout, stderr)
			}
			use(direct)
			if result := c.ok("result", id, "--json"); !strings.Contains(result, `"status":"READY"`) && !strings.Contains(result, `"status":"SUCCESSFUL"`) {
				t.Errorf("after status %d, %s: %s", status, stderr, result)
			}
		})
	}
}

package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// deliveryLine is what doctor --deliver says of its delivery.
func deliveryLine(r procResult) string {
	for line := range strings.Lines(r.stdout) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "delivery" {
			return strings.TrimSpace(line)
		}
	}
	return "no line: " + r.stdout + r.stderr
}

func TestDoctorDeliversThroughTheRunningService(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	database := "DATABASE_URL=" + testdb.Postgres(t)
	c.serve(t.TempDir(), c.env(database))
	deliver := func(timeout string, env ...string) procResult {
		return procRun(t, t.TempDir(), c.env(append([]string{database}, env...)...), "", "doctor", "--deliver", "--deliver-timeout", timeout)
	}
	result := deliver("60")
	if line := deliveryLine(result); result.status != 0 || !strings.HasPrefix(line, "ok") || !strings.Contains(line, "created, delivered, authenticated, claimed by") {
		t.Errorf("status %d: %s", result.status, line)
	}
	if counted := procRun(t, t.TempDir(), c.env(database), "", "status").stdout; !strings.Contains(counted, "successful  0") {
		t.Errorf("the probe's row is left: %s", counted)
	}
	// Signed as an account that the service does not accept.
	result = deliver("2", "OIDC_SERVICE_ACCOUNT_EMAIL=other@proc.iam.gserviceaccount.com")
	if line := deliveryLine(result); result.status != 1 || !strings.Contains(line, "not authenticated: the last answer was HTTP status code 403") {
		t.Errorf("status %d: %s", result.status, line)
	}
	// For a path that the service does not have.
	result = deliver("2", "TASK_HANDLER_URL="+c.front.URL+"/elsewhere/{task_id}/")
	if line := deliveryLine(result); result.status != 1 || !strings.Contains(line, "delivered") || !strings.Contains(line, "not claimed") && !strings.Contains(line, "not authenticated") {
		t.Errorf("status %d: %s", result.status, line)
	}
	// Out of another database, in which the service finds no such row.
	other := "DATABASE_URL=" + testdb.Postgres(t)
	if migrated := procRun(t, t.TempDir(), []string{other}, "", "migrate"); migrated.status != 0 {
		t.Fatalf("migrate: %+v", migrated)
	}
	result = procRun(t, t.TempDir(), c.env(other), "", "doctor", "--deliver", "--deliver-timeout", "2s")
	if line := deliveryLine(result); result.status != 1 || !strings.Contains(line, "404") || !strings.Contains(line, "another database") {
		t.Errorf("status %d: %s", result.status, line)
	}
	if tasks := c.Tasks(); len(tasks) != 0 {
		t.Errorf("it left %v", tasks)
	}
}

// In the other modes the probe is for the server, or a worker, on this database.
func TestDoctorDeliversWithoutCloudTasks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode, idle string
		run        []string
	}{
		{"local", "no server in local mode runs with this database", []string{"serve", "--listen", "127.0.0.1:0"}},
		{"pull", "no worker pulls from queue default", []string{"work", "--continuous", "--interval", "0.1"}},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			t.Parallel()
			dir, env := t.TempDir(), []string{"TASKS_MODE=" + tc.mode, procToken}
			// Without a database no delivery can be made, which is not success.
			result := procRun(t, dir, env, "", "doctor", "--deliver", "--deliver-timeout", "1")
			if line := deliveryLine(result); result.status != 1 || tc.mode == "local" && (!strings.HasPrefix(line, "fail") || !strings.Contains(line, "not created: there is no database yet  → start serve")) {
				t.Errorf("without a database: status %d: %s", result.status, line)
			}
			if result := procRun(t, dir, env, "", "migrate"); result.status != 0 {
				t.Fatalf("migrate: %+v", result)
			}
			result = procRun(t, dir, env, "", "doctor", "--deliver", "--deliver-timeout", "1")
			if line := deliveryLine(result); result.status != 1 || !strings.Contains(line, tc.idle) {
				t.Errorf("status %d: %s", result.status, line)
			}
			command := procCommand(t, 0, dir, env, tc.run...)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
			result = procRun(t, dir, env, "", "doctor", "--deliver")
			if line := deliveryLine(result); result.status != 0 || !strings.HasPrefix(line, "ok") || !strings.Contains(line, ": created, claimed by") {
				t.Errorf("status %d: %s", result.status, line)
			}
		})
	}
}

// A redirect is none of the server's answers: its log has nothing about it.
func TestDoctorSaysWhatRedirectsADelivery(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	database := "DATABASE_URL=" + testdb.Postgres(t)
	c.serve(t.TempDir(), c.env(database))
	other := httptest.NewServer(http.RedirectHandler(c.front.URL+"/health/live", http.StatusFound))
	defer other.Close()
	result := procRun(t, t.TempDir(), c.env(database, "TASK_HANDLER_URL="+other.URL+"/tasks/execute/{task_id}/"), "", "doctor", "--deliver", "--deliver-timeout", "2")
	if line := deliveryLine(result); result.status != 1 || !strings.Contains(line, "HTTP status code 302") || !strings.HasSuffix(line, "→ let TASK_HANDLER_URL name the address that it is redirected to: Cloud Tasks follows no redirect") {
		t.Errorf("status %d: %s", result.status, line)
	}
}

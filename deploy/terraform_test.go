package deploy_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The checks that read HCL are a module of their own.
func TestTerraformModuleIsWellFormed(t *testing.T) {
	// -count=1, since go remembers results by files within the module only.
	if got := run(t, os.Environ(), "go", "-C", "deploy/hclcheck", "test", "-count=1", "./..."); got.status != 0 {
		t.Error(got.stdout + got.stderr)
	}
	if _, err := exec.LookPath("terraform"); err == nil {
		if got := run(t, nil, "terraform", "fmt", "-check", "-diff", "deploy/terraform"); got.status != 0 {
			t.Error(got.stdout + got.stderr)
		}
	}
}

// terraform is the module's text, without comments.
func terraform(t *testing.T) string {
	t.Helper()
	files, err := os.ReadDir("terraform")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, file := range files {
		if strings.HasSuffix(file.Name(), ".tf") {
			text.WriteString(read(t, "deploy/terraform/"+file.Name()))
		}
	}
	return regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(text.String(), "")
}

// all are the distinct first groups of a pattern's matches, sorted.
func all(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestTerraformAndSetupMakeTheSame(t *testing.T) {
	tf, sh := terraform(t), read(t, "deploy/setup.sh")
	same := func(what string, a, b []string) {
		t.Helper()
		if len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%s: Terraform has %q, setup.sh %q", what, a, b)
		}
	}
	same("roles", all(`"(roles/[a-zA-Z.]+)"`, tf), all(`(roles/[a-zA-Z.]+) "\$`, sh))
	var apis []string
	for _, line := range all(`(?m)^\tapis ([a-z -]+)$`, sh) {
		apis = append(apis, strings.Fields(line)...)
	}
	slices.Sort(apis)
	same("APIs", all(`"([a-z-]+)",?`, regexp.MustCompile(`(?s)apis = local.*?\n\s+\] : \[[^\]]*\]`).FindString(tf)), slices.Compact(apis))
	for _, c := range []struct{ what, tf, sh string }{
		{"attempts", `max_attempts\s+= (-?\d+)`, `--max-attempts=(-?\d+)`},
		{"first backoff", `min_backoff\s+= "(\d+s)"`, `--min-backoff=(\d+s)`},
		{"longest backoff", `max_backoff\s+= "(\d+s)"`, `--max-backoff=(\d+s)`},
		{"doublings", `max_doublings\s+= (\d+)`, `--max-doublings=(\d+)`},
		{"dispatches a second", `max_dispatches_per_second = (\d+)`, `--max-dispatches-per-second=(\d+)`},
		{"dispatches at once", `max_concurrent_dispatches = (\d+)`, `--max-concurrent-dispatches=(\d+)`},
		{"connections", `"max_connections"\s+value = "(\d+)"`, `max_connections=(\d+)`},
		{"database", `database_version\s+= "([A-Z0-9_]+)"`, `--database-version=([A-Z0-9_]+)`},
		{"machine", `default\s+= "(db-[a-z0-9-]+)"`, ` tier=(db-[a-z0-9-]+)`},
		{"schedules", `schedule = "([^"]+)"`, `job "\$service-[a-z]+" '([^']+)'`},
		{"deadline of a scheduler's attempt", `attempt_deadline = "(\d+s)"`, `--attempt-deadline=(\d+s)`},
		{"sample image", `image = "([^"]+)"`, `--image=([^ ]+)`},
		{"accounts", `account_id\s+= "\$\{var.service\}-([a-z]+)"`, `account "\$service-([a-z]+)"`},
	} {
		same(c.what, all(c.tf, tf), all(c.sh, sh))
	}
	if !strings.Contains(sh, `if [ "$1" = default ]; then echo "$service"`) || !strings.Contains(tf, `queue == "default" ? var.service : queue`) {
		t.Error("the Cloud Tasks queue of default has not the service's name in both")
	}
	// A run that stops in between must not leave a user with a password that is stored
	// nowhere: the secret comes first, and the user's password is read from it.
	for _, part := range []string{
		`password_wo         = regex("^postgres://claimcheck:([^@]+)@", ephemeral.google_secret_manager_secret_version.database_url[0].secret_data)[0]`,
		`version = google_secret_manager_secret_version.database_url[0].version`, "password_wo_version = var.secret_version", "secret_data_wo_version = var.secret_version",
	} {
		if !strings.Contains(tf, part) {
			t.Errorf("Terraform has no %s", part)
		}
	}
	// A purge works for three quarters of a request, so that its scheduler must
	// wait as long as the platform does.
	if deadline := all(`--attempt-deadline=(\d+s)`, sh); !strings.Contains(read(t, "service.yaml"), "value: "+deadline[0]) {
		t.Errorf("the scheduler waits for %q", deadline)
	}
}

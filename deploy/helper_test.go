// Package deploy_test checks the files for Google Cloud in this repository against
// the product: manifests, scripts and Terraform. It needs no container engine and no
// network. Where gcloud is installed, its own argument parser checks every command;
// elsewhere the record of what it accepts does.
package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tempDirs are directories that several tests share.
var tempDirs []string

func TestMain(m *testing.M) {
	status := m.Run()
	for _, dir := range tempDirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "claimcheck-deploy")
	tempDirs = append(tempDirs, dir)
	return dir, err
}

// read is a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	status         int
}

// run runs a program from the repository's root, with env on top of a PATH.
func run(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = ".."
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(dockerfile)) {
		command, found := strings.CutPrefix(strings.TrimSpace(line), "RUN CGO_ENABLED=0 go build ")
		if !found {
			continue
		}
		dir, err := tempDir()
		if err != nil {
			return "", err
		}
		built := filepath.Join(dir, "server")
		// Other users than root run it.
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nothing secret is in it
			return "", err
		}
		command = "CGO_ENABLED=0 go build " + strings.Replace(command, "/out/server", built, 1)
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "VERSION=v0.0.0-test", "REVISION=0123abc")
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(command + ": " + string(output))
		}
		return built, nil
	}
	return "", errors.New("the Dockerfile has no line RUN CGO_ENABLED=0 go build")
})

// server is the binary, built as the Dockerfile says.
func server(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// values are the placeholders of each manifest, filled in.
var values = map[string][]string{
	"service.yaml": {
		"SERVICE=claimcheck", "IMAGE=europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123", "QUEUES=default,emails", "QUEUE_ALIASES=default=claimcheck", "MANIFEST_HASH=0123456789abcdef",
		"RUNTIME_ACCOUNT=claimcheck-run@my-project.iam.gserviceaccount.com",
		"INVOKER_ACCOUNT=claimcheck-invoker@my-project.iam.gserviceaccount.com",
		"SERVICE_URL=https://claimcheck-123456789.europe-west1.run.app",
		"CLOUD_SQL_INSTANCE=my-project:europe-west1:claimcheck-db",
	},
	"deploy/worker-pool.yaml": {
		"SERVICE=claimcheck", "REGION=europe-west1", "IMAGE=europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123", "QUEUES=default,emails",
		"RUNTIME_ACCOUNT=claimcheck-run@my-project.iam.gserviceaccount.com", "CLOUD_SQL_INSTANCE=my-project:europe-west1:claimcheck-db",
	},
	"deploy/job.yaml": {
		"SERVICE=claimcheck", "IMAGE=europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123", "QUEUES=default,emails",
		"RUNTIME_ACCOUNT=claimcheck-run@my-project.iam.gserviceaccount.com", "CLOUD_SQL_INSTANCE=my-project:europe-west1:claimcheck-db",
	},
	"app.yaml": {
		"QUEUES=default,emails", "QUEUE_ALIASES=default=claimcheck", "DATABASE=claimcheck", "DATABASE_USER=claimcheck-run%40my-project.iam",
		"RUNTIME_ACCOUNT=claimcheck-run@my-project.iam.gserviceaccount.com",
		"INVOKER_ACCOUNT=claimcheck-invoker@my-project.iam.gserviceaccount.com",
		"CLOUD_SQL_INSTANCE=my-project:europe-west1:claimcheck-db", "DEFAULT_HOSTNAME=my-project.ew.r.appspot.com",
	},
}

// rendered is a manifest with its placeholders filled in.
func rendered(t *testing.T, file string) string {
	t.Helper()
	got := run(t, nil, "deploy/render.sh", append([]string{file}, values[file]...)...)
	if got.status != 0 {
		t.Fatal(got.stderr)
	}
	return got.stdout
}

// filled is the path of a file with a rendered manifest of deploy/.
func filled(t *testing.T, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), kind+".yaml")
	if err := os.WriteFile(path, []byte(rendered(t, "deploy/"+kind+".yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package deploy_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
)

// workers are the containers of deploy/worker-pool.yaml and deploy/job.yaml, each with
// the variable by which its process knows where it runs.
func workers(t *testing.T) map[string]knativeContainer {
	t.Helper()
	pool := decode[workerPool](t, rendered(t, "deploy/worker-pool.yaml"))
	job := decode[cloudRunJob](t, rendered(t, "deploy/job.yaml"))
	if pool.APIVersion != "run.googleapis.com/v1" || pool.Kind != "WorkerPool" || job.APIVersion != "run.googleapis.com/v1" || job.Kind != "Job" {
		t.Errorf("%s %s, %s %s", pool.APIVersion, pool.Kind, job.APIVersion, job.Kind)
	}
	template, execution := pool.Spec.Template, job.Spec.Template
	for _, annotations := range []map[string]string{template.Metadata.Annotations, execution.Metadata.Annotations} {
		if annotations["run.googleapis.com/cloudsql-instances"] != "my-project:europe-west1:claimcheck-db" {
			t.Errorf("the Cloud SQL socket is not mounted: %v", annotations)
		}
	}
	task := execution.Spec.Template.Spec
	for _, account := range []string{template.Spec.ServiceAccountName, task.ServiceAccountName} {
		if account != "claimcheck-run@my-project.iam.gserviceaccount.com" {
			t.Errorf("it runs as %s", account)
		}
	}
	if len(template.Spec.Containers) != 1 || len(task.Containers) != 1 || task.TimeoutSeconds < 3600 || task.TimeoutSeconds > 7*24*3600 {
		t.Fatalf("%+v %+v", template.Spec, task)
	}
	return map[string]knativeContainer{"CLOUD_RUN_WORKER_POOL": template.Spec.Containers[0], "CLOUD_RUN_JOB": task.Containers[0]}
}

func TestWorkersFitTheServerAndTheDatabase(t *testing.T) {
	known := settings(t)
	connections := map[string]int{}
	for platform, container := range workers(t) {
		names := []string{}
		for _, e := range container.Env {
			names = append(names, e.Name)
			if !slices.Contains(known, e.Name) {
				t.Errorf("%s is no setting of the server", e.Name)
			}
			if e.Name == "DATABASE_URL" && (e.ValueFrom == nil || e.ValueFrom.SecretKeyRef.Name != "claimcheck-database-url") {
				t.Error("DATABASE_URL is not taken from its secret")
			}
			if e.Name == "DB_MAX_CONNS" {
				connections[platform] = number(t, e.Value) + 1 // one more listens
			}
		}
		if want := []string{"DATABASE_URL", "DB_MAX_CONNS", "TASKS_QUEUES"}; !slices.Equal(names, want) {
			t.Errorf("%s: %q, want %q", platform, names, want)
		}
	}
	annotations := decode[workerPool](t, rendered(t, "deploy/worker-pool.yaml")).Metadata.Annotations
	if annotations["run.googleapis.com/scalingMode"] != "manual" {
		t.Errorf("%v", annotations)
	}
	instances := number(t, annotations["run.googleapis.com/manualInstanceCount"])
	page := read(t, "docs/worker-pools.md")
	service := regexp.MustCompile(`--max-instances=(\d+)`).FindStringSubmatch(page)
	each := regexp.MustCompile(`DB_MAX_CONNS\s+value: '(\d+)'`).FindStringSubmatch(read(t, "service.yaml"))
	if service == nil || each == nil {
		t.Fatal("the page has no --max-instances, or service.yaml no DB_MAX_CONNS")
	}
	pool, job := connections["CLOUD_RUN_WORKER_POOL"], connections["CLOUD_RUN_JOB"]
	if need := 2*number(t, service[1])*number(t, each[1]) + 2*instances*pool + job; need > maxConnections(t)-10 {
		t.Errorf("up to %d connections, of %d", need, maxConnections(t))
	}
	for _, row := range []string{
		fmt.Sprintf("| %s × %s × 2 = %d |", service[1], each[1], 2*number(t, service[1])*number(t, each[1])),
		fmt.Sprintf("| %d × %d × 2 = %d |", instances, pool, 2*instances*pool), fmt.Sprintf("| job: one execution | %d |", job),
	} {
		if !strings.Contains(page, row) {
			t.Errorf("docs/worker-pools.md lacks %s", row)
		}
	}
}

// The manifests' commands and settings are used unchanged, except for the database.
func TestWorkersRunWhatTheManifestsSay(t *testing.T) {
	for platform, container := range workers(t) {
		t.Run(platform, func(t *testing.T) {
			env := []string{platform + "=claimcheck", "GCE_METADATA_HOST=" + metadata(t), "DATABASE_URL=" + testdb.Postgres(t)}
			for _, e := range container.Env {
				if e.Name != "DATABASE_URL" {
					env = append(env, e.Name+"="+e.Value)
				}
			}
			elsewhere := append(slices.Clone(env), "CLAIMCHECK_IDS=true", "TASKS_MODE=pull")
			for _, args := range [][]string{{"migrate"}, {"enqueue", "demo.echo", `"before"`}, {"enqueue", "demo.flaky", `{"failures":0}`, "--queue=emails"}} {
				if got := run(t, elsewhere, server(t), args...); got.status != 0 {
					t.Fatalf("%q: %d %s", args, got.status, got.stderr)
				}
			}
			worker := exec.CommandContext(t.Context(), server(t), container.Args...)
			worker.Env = env
			log := testproc.NewLog(t, worker)
			if err := worker.Start(); err != nil {
				t.Fatal(err)
			}
			if platform == "CLOUD_RUN_WORKER_POOL" {
				awaitSuccesses(t, elsewhere, log, 2)
				if got := run(t, elsewhere, server(t), "enqueue", "demo.echo", `"while it waits"`); got.status != 0 {
					t.Fatal(got.stderr)
				}
				awaitSuccesses(t, elsewhere, log, 3)
				if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}
			if err := worker.Wait(); err != nil {
				t.Errorf("it ended with %v:\n%s", err, log)
			}
			awaitSuccesses(t, elsewhere, log, 2) // of the job, at its end
			for _, want := range []string{`"severity":"INFO"`, `"message":"work ended"`, `"task_path":"demo.flaky"`} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
			}
			if strings.Contains(log.String(), "WARNING") {
				t.Errorf("it warns:\n%s", log)
			}
		})
	}
}

// awaitSuccesses waits until that many tasks have succeeded, or more.
func awaitSuccesses(t *testing.T, env []string, log *testproc.Log, want int) {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		var stats struct {
			Successful int `json:"successful_count"`
		}
		got := run(t, env, server(t), "status", "--json")
		if err := json.Unmarshal([]byte(got.stdout), &stats); err != nil {
			t.Fatalf("%v: %+v", err, got)
		}
		if stats.Successful >= want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d tasks have succeeded, want %d:\n%s", stats.Successful, want, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The real gcloud reads the manifests and sends all of what they say.
func TestRealGcloudTakesTheWorkers(t *testing.T) {
	c := newCloud(t)
	if c == nil {
		return
	}
	c.run(nil, "gcloud", "services", "enable", "run.googleapis.com", "--project=my-project", "--quiet")
	c.run(nil, "gcloud", "beta", "run", "worker-pools", "replace", filled(t, "worker-pool"), "--project=my-project", "--quiet")
	c.run(nil, "gcloud", "run", "jobs", "replace", filled(t, "job"), "--project=my-project", "--region=europe-west1", "--quiet")
	const namespace = "run/namespaces/my-project/"
	pool, job := c.api.Get(namespace+"workerpools/claimcheck-workers"), c.api.Get(namespace+"jobs/claimcheck-work")
	if got := at(pool, "metadata", "annotations", "run.googleapis.com/manualInstanceCount"); got != "2" {
		t.Errorf("the pool has %v instances", got)
	}
	if got := fmt.Sprint(at(pool, "spec", "template", "spec", "containers", 0, "args")); got != "[work --continuous --concurrency=10]" {
		t.Errorf("the pool runs %s", got)
	}
	if got := fmt.Sprint(at(job, "spec", "template", "spec", "template", "spec", "containers", 0, "args")); got != "[work --concurrency=10]" {
		t.Errorf("the job runs %s", got)
	}
}

package deploy_test

import (
	"slices"
	"strings"
	"testing"
)

var releaseEnv = []string{
	"PROJECT_ID=my-project", "PROJECT_NUMBER=123456789", "REGION=europe-west1", "SERVICE=claimcheck", "QUEUES=default,emails",
	"IMAGE=europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123", "CLOUD_SQL_INSTANCE=my-project:europe-west1:claimcheck-db",
}

func TestCandidateGetsNoTrafficWhileOthersServe(t *testing.T) {
	type target struct {
		revision string
		latest   bool
		percent  int
		tag      string
	}
	for name, c := range map[string]struct {
		serving string // as gcloud lists it; empty: there is no such service
		want    []target
	}{
		"the first":      {"", []target{{"", true, 100, "candidate"}}},
		"one serves":     {"claimcheck-00007-abc,100\nclaimcheck-00008-def,", []target{{"claimcheck-00007-abc", false, 100, ""}, {"", true, 0, "candidate"}}},
		"two share":      {"claimcheck-1,90\nclaimcheck-2,10\nclaimcheck-3,0", []target{{"claimcheck-1", false, 90, ""}, {"claimcheck-2", false, 10, ""}, {"", true, 0, "candidate"}}},
		"another's name": {"", []target{{"", true, 100, "candidate"}}},
	} {
		p := newProject(t)
		s := p.state()
		if c.serving != "" {
			s.Things["run services"] = []string{"claimcheck"}
			s.Settings["run services claimcheck"] = c.serving
		}
		if name == "another's name" {
			s.Things["run services"] = []string{"claimcheck-other", "my-claimcheck"}
		}
		p.store(s)
		if got := p.run(releaseEnv, "deploy/release.sh", "candidate"); got.status != 0 {
			t.Fatalf("%s: %s", name, got.stderr)
		}
		service := decode[knativeService](t, p.state().Files[0])
		var got []target
		for _, x := range service.Spec.Traffic {
			got = append(got, target{x.RevisionName, x.LatestRevision, x.Percent, x.Tag})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
		container := service.Spec.Template.Spec.Containers[0]
		if service.Metadata.Name != "claimcheck" || container.Image != "europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123" ||
			service.Spec.Template.Spec.ServiceAccountName != "claimcheck-run@my-project.iam.gserviceaccount.com" ||
			service.Spec.Template.Metadata.Annotations["run.googleapis.com/cloudsql-instances"] != "my-project:europe-west1:claimcheck-db" {
			t.Errorf("%s: %+v", name, service)
		}
		for _, e := range container.Env {
			if e.Name == "OIDC_AUDIENCE" && e.Value != "https://claimcheck-123456789.europe-west1.run.app" {
				t.Errorf("%s: the audience is %s", name, e.Value)
			}
		}
	}
}

func TestReleaseWithAnotherDatabaseMountsNoSocket(t *testing.T) {
	p := newProject(t)
	env := append(slices.Clone(releaseEnv), "CLOUD_SQL_INSTANCE=")
	for _, step := range []string{"candidate", "migrate"} {
		if got := p.run(env, "deploy/release.sh", step); got.status != 0 {
			t.Fatalf("%s: %s", step, got.stderr)
		}
	}
	service := decode[knativeService](t, p.state().Files[0])
	if _, ok := service.Spec.Template.Metadata.Annotations["run.googleapis.com/cloudsql-instances"]; ok {
		t.Error("the service has a Cloud SQL socket")
	}
	if strings.Contains(strings.Join(p.state().Calls, "\n"), "--set-cloudsql-instances") {
		t.Error("the migration has a Cloud SQL socket")
	}
}

func TestMigrationRunsAsAJobAndIsWaitedFor(t *testing.T) {
	p := newProject(t)
	if got := p.run(releaseEnv, "deploy/release.sh", "migrate"); got.status != 0 {
		t.Fatal(got.stderr)
	}
	wantCall(t, p.state().Calls, "run jobs deploy claimcheck-migrate", "--args=migrate ", "--execute-now --wait", "--max-retries=0",
		"--set-secrets=DATABASE_URL=claimcheck-database-url:latest", "--service-account=claimcheck-run@my-project.iam.gserviceaccount.com",
		"--set-cloudsql-instances=my-project:europe-west1:claimcheck-db")
}

func TestTrafficGoesToTheRevisionThatWasAsked(t *testing.T) {
	p := newProject(t)
	if got := p.run(releaseEnv, "deploy/release.sh", "traffic"); got.status != 0 {
		t.Fatal(got.stderr)
	}
	wantCall(t, p.state().Calls, "run services update-traffic claimcheck", "--to-tags=candidate=100")
}

func TestReleaseStopsWhenItIsRefusedOrNotToldEnough(t *testing.T) {
	p := newProject(t)
	s := p.state()
	s.Things["run services"] = []string{"claimcheck"}
	p.store(s)
	for _, c := range []struct{ step, fail, want string }{
		{"migrate", "run jobs deploy", "PERMISSION_DENIED"},
		{"candidate", "run services list", "could not be found out"},
		{"candidate", "run services describe", "could not be found out"},
		{"candidate", "run services replace", "PERMISSION_DENIED"},
		{"smoke", "print-identity-token", "PERMISSION_DENIED"},
		{"traffic", "update-traffic", "PERMISSION_DENIED"},
	} {
		p.fail = c.fail
		if got := p.run(releaseEnv, "deploy/release.sh", c.step); got.status == 0 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s, %s: %d %s", c.step, c.fail, got.status, got.stderr)
		}
	}
	p.fail = ""
	for i, variable := range releaseEnv[:6] {
		name, _, _ := strings.Cut(variable, "=")
		if got := p.run(slices.Delete(slices.Clone(releaseEnv), i, i+1), "deploy/release.sh", "candidate"); got.status == 0 || !strings.Contains(got.stderr, name+" is not set") {
			t.Errorf("without %s: %d %s", name, got.status, got.stderr)
		}
	}
	for _, args := range [][]string{nil, {"rollback"}} {
		if got := p.run(releaseEnv, "deploy/release.sh", args...); got.status != 1 || !strings.Contains(got.stderr, "usage") {
			t.Errorf("%q: %d %s", args, got.status, got.stderr)
		}
	}
}

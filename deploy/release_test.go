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

// What release.sh asks gcloud about the service.
const (
	askManifest = "run services claimcheck value(metadata.labels.claimcheck-manifest)"
	askLatest   = "run services claimcheck value(status.latestCreatedRevisionName)"
	askTraffic  = "run services claimcheck csv[no-heading](status.traffic.revisionName,status.traffic.percent,status.traffic.tag)"
)

// released is a project with the service, whose gcloud answers as described.
func released(t *testing.T, described map[string]string) *fakeProject {
	t.Helper()
	p := newProject(t)
	s := p.state()
	s.Resources["run services"] = []string{"claimcheck"}
	s.Described = described
	p.store(s)
	return p
}

// release runs a step, which must succeed.
func (p *fakeProject) release(step string, env ...string) result {
	p.t.Helper()
	got := p.run(append(slices.Clone(releaseEnv), env...), "deploy/release.sh", step)
	if got.status != 0 {
		p.t.Fatalf("%s: %s", step, got.stderr)
	}
	return got
}

type target struct {
	revision string
	latest   bool
	percent  int
	tag      string
}

func targets(service knativeService) []target {
	var found []target
	for _, x := range service.Spec.Traffic {
		found = append(found, target{x.RevisionName, x.LatestRevision, x.Percent, x.Tag})
	}
	return found
}

func TestManifestLeavesTrafficAndTagsWhereTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		traffic string // as gcloud prints it; empty: there is no such service
		want    []target
	}{
		"the first":      {"", []target{{"", true, 100, "candidate"}}},
		"one serves":     {"claimcheck-00007-abc,100,\nclaimcheck-00008-def,,", []target{{"claimcheck-00007-abc", false, 100, ""}, {"", true, 0, "candidate"}}},
		"two share":      {"claimcheck-1,90,\nclaimcheck-2,10,\nclaimcheck-3,0,", []target{{"claimcheck-1", false, 90, ""}, {"claimcheck-2", false, 10, ""}, {"", true, 0, "candidate"}}},
		"tagged":         {"claimcheck-1,100,\nclaimcheck-2,,green\nclaimcheck-1,,blue", []target{{"claimcheck-1", false, 100, ""}, {"claimcheck-2", false, 0, "green"}, {"claimcheck-1", false, 0, "blue"}, {"", true, 0, "candidate"}}},
		"both in a line": {"claimcheck-1,100,blue\nclaimcheck-2,0,candidate", []target{{"claimcheck-1", false, 100, "blue"}, {"", true, 0, "candidate"}}},
		"the candidate":  {"claimcheck-2,100,candidate", []target{{"claimcheck-2", false, 100, ""}, {"", true, 0, "candidate"}}},
		"another's name": {"", []target{{"", true, 100, "candidate"}}},
	} {
		p := newProject(t)
		s := p.state()
		if c.traffic != "" {
			s.Resources["run services"] = []string{"claimcheck"}
			s.Described[askTraffic] = c.traffic
		}
		if name == "another's name" {
			s.Resources["run services"] = []string{"claimcheck-other", "my-claimcheck"}
		}
		p.store(s)
		p.release("candidate")
		service := decode[knativeService](t, p.state().Files[0])
		if got := targets(service); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
		container := service.Spec.Template.Spec.Containers[0]
		if service.Metadata.Name != "claimcheck" || container.Image != "europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123" ||
			service.Spec.Template.Spec.ServiceAccountName != "claimcheck-run@my-project.iam.gserviceaccount.com" ||
			service.Spec.Template.Metadata.Annotations["run.googleapis.com/cloudsql-instances"] != "my-project:europe-west1:claimcheck-db" {
			t.Errorf("%s: %+v", name, service)
		}
		for _, e := range container.Env {
			switch {
			case e.Name == "OIDC_AUDIENCE" && e.Value != "https://claimcheck-123456789.europe-west1.run.app",
				e.Name == "TASKS_QUEUE_ALIASES" && e.Value != "default=claimcheck":
				t.Errorf("%s: %s is %s", name, e.Name, e.Value)
			}
		}
	}
}

func TestLaterReleasesChangeTheImageOnly(t *testing.T) {
	first := newProject(t)
	first.release("candidate")
	hash := decode[knativeService](t, first.state().Files[0]).Metadata.Labels["claimcheck-manifest"]
	if len(hash) != 16 {
		t.Fatalf("the manifest's label is %q", hash)
	}
	const update = "run services update claimcheck --project=my-project --region=europe-west1 --quiet" +
		" --image=europe-west1-docker.pkg.dev/my-project/claimcheck/server:abc123 --no-traffic --tag=candidate"
	traffic := "claimcheck-1,100,\nclaimcheck-1,,blue"

	p := released(t, map[string]string{askManifest: hash, askTraffic: traffic})
	got := p.release("candidate")
	if changes := p.changes(); !slices.Equal(changes, []string{update}) || strings.Contains(got.stdout, "service.yaml") {
		t.Errorf("the same manifest: %q\n%s", changes, got.stdout)
	}
	// The hash is of the manifest and its values, not of the image.
	p = released(t, map[string]string{askManifest: hash, askTraffic: traffic})
	if got := p.release("candidate", "IMAGE=another"); strings.Contains(got.stdout, "service.yaml") {
		t.Errorf("another image: %s", got.stdout)
	}
	p = released(t, map[string]string{askManifest: hash, askTraffic: traffic})
	got = p.release("candidate", "QUEUES=default")
	if changes := p.changes(); !slices.Equal(changes, []string{update}) || !strings.Contains(got.stdout, "MANIFEST=apply") {
		t.Errorf("a changed manifest: %q\n%s", changes, got.stdout)
	}
	p = released(t, map[string]string{askManifest: hash, askTraffic: traffic})
	p.release("candidate", "QUEUES=default", "MANIFEST=apply")
	if changes := p.changes(); len(changes) != 1 || !strings.HasPrefix(changes[0], "run services replace ") {
		t.Errorf("MANIFEST=apply: %q", changes)
	}
	service := decode[knativeService](t, p.state().Files[0])
	if got := targets(service); !slices.Contains(got, target{"claimcheck-1", false, 0, "blue"}) || service.Metadata.Labels["claimcheck-manifest"] == hash {
		t.Errorf("MANIFEST=apply: %+v", service)
	}
}

func TestReleaseWithAnotherDatabaseMountsNoSocket(t *testing.T) {
	p := newProject(t)
	for _, step := range []string{"candidate", "migrate"} {
		p.release(step, "CLOUD_SQL_INSTANCE=")
	}
	service := decode[knativeService](t, p.state().Files[0])
	if _, ok := service.Spec.Template.Metadata.Annotations["run.googleapis.com/cloudsql-instances"]; ok {
		t.Error("the service has a Cloud SQL socket")
	}
	if strings.Contains(strings.Join(p.calls(), "\n"), "--set-cloudsql-instances") {
		t.Error("the migration has a Cloud SQL socket")
	}
}

func TestMigrationRunsAsAJobAndIsWaitedFor(t *testing.T) {
	p := newProject(t)
	p.release("migrate")
	wantCall(t, p.calls(), "run jobs deploy claimcheck-migrate", "--args=migrate ", "--execute-now --wait", "--max-retries=0",
		"--set-secrets=DATABASE_URL=claimcheck-database-url:latest", "--service-account=claimcheck-run@my-project.iam.gserviceaccount.com",
		"--set-cloudsql-instances=my-project:europe-west1:claimcheck-db")
}

func TestTrafficGoesToTheRevisionThatWasTested(t *testing.T) {
	p := released(t, map[string]string{askLatest: "claimcheck-2", askTraffic: "claimcheck-1,100,\nclaimcheck-2,,candidate"})
	p.release("traffic")
	wantCall(t, p.changes(), "run services update-traffic claimcheck", "--to-latest")
	// Another revision was created after the smoke test.
	p = released(t, map[string]string{askLatest: "claimcheck-3", askTraffic: "claimcheck-1,100,\nclaimcheck-2,0,candidate"})
	if got := p.release("traffic"); !strings.Contains(got.stdout, "claimcheck-3 is newer than the candidate") {
		t.Error(got.stdout)
	}
	wantCall(t, p.changes(), "run services update-traffic claimcheck", "--to-tags=candidate=100")
}

func TestReleaseStopsWhenACommandFailsOrASettingIsMissing(t *testing.T) {
	for _, c := range []struct{ step, manifest, fail, want string }{
		{"migrate", "", "run jobs deploy", "PERMISSION_DENIED"},
		{"candidate", "", "run services list", "could not be listed"},
		{"candidate", "", "claimcheck-manifest", "could not be read"},
		{"candidate", "", "--flatten", "could not be read"},
		{"candidate", "", "run services replace", "PERMISSION_DENIED"},
		{"candidate", "an older one", "run services update", "PERMISSION_DENIED"},
		{"smoke", "", "print-access-token", "PERMISSION_DENIED"},
		{"traffic", "", "latestCreatedRevisionName", "could not be read"},
		{"traffic", "", "--flatten", "could not be read"},
		{"traffic", "", "update-traffic", "PERMISSION_DENIED"},
	} {
		p := released(t, map[string]string{askManifest: c.manifest})
		p.fail = c.fail
		if got := p.run(releaseEnv, "deploy/release.sh", c.step); got.status == 0 || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s, %s: %d %s", c.step, c.fail, got.status, got.stderr)
		}
		if calls := p.calls(); !strings.Contains(calls[len(calls)-1], c.fail) {
			t.Errorf("%s, %s: it continued with %s", c.step, c.fail, calls[len(calls)-1])
		}
	}
	p := released(t, nil)
	for i, variable := range releaseEnv[:6] {
		name, _, _ := strings.Cut(variable, "=")
		if got := p.run(slices.Delete(slices.Clone(releaseEnv), i, i+1), "deploy/release.sh", "candidate"); got.status == 0 || !strings.Contains(got.stderr, name+" is not set") {
			t.Errorf("without %s: %d %s", name, got.status, got.stderr)
		}
	}
	if got := p.run(append(slices.Clone(releaseEnv), "MANIFEST=yes"), "deploy/release.sh", "candidate"); got.status != 1 || !strings.Contains(got.stderr, "MANIFEST must be keep or apply, not yes") {
		t.Errorf("%d %s", got.status, got.stderr)
	}
	for _, args := range [][]string{nil, {"rollback"}} {
		if got := p.run(releaseEnv, "deploy/release.sh", args...); got.status != 1 || !strings.Contains(got.stderr, "usage") {
			t.Errorf("%q: %d %s", args, got.status, got.stderr)
		}
	}
}

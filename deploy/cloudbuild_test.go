package deploy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReleaseGoesThroughAllItsStepsInOrder(t *testing.T) {
	build := decode[buildConfig](t, read(t, "cloudbuild.yaml"))
	after := map[string][]string{} // step to all that have ended before it begins
	for _, step := range build.Steps {
		if step.ID == "" || step.Name == "" || after[step.ID] != nil {
			t.Errorf("step %q of image %q", step.ID, step.Name)
		}
		before := []string{}
		for _, id := range step.WaitFor {
			if id == "-" {
				continue
			}
			if after[id] == nil {
				t.Errorf("%s waits for %s, which is no earlier step", step.ID, id)
			}
			before = append(append(before, id), after[id]...)
		}
		after[step.ID] = before
		if step.Timeout != "" && span(t, step.Timeout) > span(t, build.Timeout) {
			t.Errorf("%s may take longer than the build", step.ID)
		}
	}
	order := []string{"test", "build", "push", "migrate", "candidate", "smoke", "traffic"}
	for i, id := range order {
		for _, earlier := range order[:i] {
			if !slices.Contains(after[id], earlier) && (earlier != "test" || id != "build") {
				t.Errorf("%s may begin before %s has ended", id, earlier)
			}
		}
	}
	if len(build.Steps) == 0 || build.Steps[len(build.Steps)-1].ID != "traffic" || span(t, build.Timeout) > 24*time.Hour {
		t.Errorf("%+v", build)
	}
}

func TestBuildGivesTheReleaseAllThatItAsksFor(t *testing.T) {
	text, release := read(t, "cloudbuild.yaml"), read(t, "deploy/release.sh")
	build := decode[buildConfig](t, text)
	given := map[string]bool{}
	for _, pair := range build.Options.Env {
		name, _, _ := strings.Cut(pair, "=")
		given[name] = true
	}
	for _, name := range []string{"PROJECT_ID", "PROJECT_NUMBER", "REGION", "SERVICE", "IMAGE", "QUEUES", "QUEUE_ALIASES", "MANIFEST", "CLOUD_SQL_INSTANCE"} {
		if !given[name] || !strings.Contains(release, name) {
			t.Errorf("%s: given %t", name, given[name])
		}
	}
	// What Cloud Build does not know is an error there, and so is what is not used.
	builtin := []string{"PROJECT_ID", "PROJECT_NUMBER", "SHORT_SHA"}
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+)\}`).FindAllStringSubmatch(regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(text, ""), -1) {
		used[match[1]] = true
		if _, declared := build.Substitutions[match[1]]; !declared && !slices.Contains(builtin, match[1]) {
			t.Errorf("nothing gives ${%s}", match[1])
		}
	}
	for name := range build.Substitutions {
		if !used[name] || !strings.HasPrefix(name, "_") {
			t.Errorf("substitution %s is used: %t", name, used[name])
		}
	}
	for _, step := range build.Steps {
		if len(step.Args) == 2 && step.Args[0] == "deploy/release.sh" && !strings.Contains(release, step.Args[1]+"() {") {
			t.Errorf("release.sh has no step %s", step.Args[1])
		}
	}
}

// A package's tests may take longer than the ten minutes that go allows by default.
func TestBuildTestsWithATimeLimitOfItsOwn(t *testing.T) {
	build := decode[buildConfig](t, read(t, "cloudbuild.yaml"))
	step := build.Steps[0]
	limit := regexp.MustCompile(`go test [^&]*-timeout (\S+)`).FindStringSubmatch(strings.Join(step.Args, " "))
	if limit == nil || span(t, limit[1]) < 20*time.Minute || span(t, limit[1]) >= span(t, step.Timeout) {
		t.Errorf("%q, and the step may take %s", step.Args, step.Timeout)
	}
	if !strings.Contains(read(t, "Makefile"), "-timeout "+limit[1]+" ./...") {
		t.Error("make test has another limit")
	}
	// Both builds of the image name the version and the commit.
	for _, step := range build.Steps {
		if strings.HasPrefix(step.ID, "build") && (!slices.Contains(step.Args, "--build-arg=VERSION=${_VERSION}") || !slices.Contains(step.Args, "--build-arg=REVISION=${_REVISION}")) {
			t.Errorf("%s: %q", step.ID, step.Args)
		}
	}
}

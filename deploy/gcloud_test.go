package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claimcheck-go/claimcheck/deploy/internal/gcloudfake"
)

// fakeProject is a Google Cloud project behind the stand-in for gcloud.
type fakeProject struct {
	t    *testing.T
	dir  string
	path string // if set, the PATH with a real gcloud whose grammar is used
	fail string // a call that contains this text is refused
}

// standIn builds the stand-in once. It is a program of its own because each call is
// a process, and the test binary starts slowly.
var standIn = sync.OnceValues(func() (string, error) {
	dir, err := tempDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gcloud")
	if output, err := exec.Command("go", "build", "-o", path, "./internal/gcloudfake/gcloud").CombinedOutput(); err != nil {
		return "", errors.New(string(output))
	}
	return path, nil
})

func newProject(t *testing.T) *fakeProject {
	t.Helper()
	program, err := standIn()
	if err != nil {
		t.Fatal(err)
	}
	p := &fakeProject{t: t, dir: t.TempDir()}
	if err := os.Symlink(program, filepath.Join(p.dir, "gcloud")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, refused := range p.state().Refused {
			t.Errorf("gcloud refuses this: %s", refused)
		}
	})
	return p
}

// run runs a script that finds the stand-in as gcloud.
func (p *fakeProject) run(env []string, script string, args ...string) result {
	p.t.Helper()
	return run(p.t, append([]string{
		"PATH=" + p.dir + ":" + os.Getenv("PATH"), gcloudfake.EnvDir + "=" + p.dir, gcloudfake.EnvFail + "=" + p.fail,
		gcloudfake.EnvPath + "=" + p.path, "SETUP_PAUSE=0",
	}, env...), script, args...)
}

func (p *fakeProject) state() gcloudfake.Project {
	p.t.Helper()
	state, err := gcloudfake.Load(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return state
}

func (p *fakeProject) store(state gcloudfake.Project) {
	p.t.Helper()
	if err := state.Store(p.dir); err != nil {
		p.t.Fatal(err)
	}
}

// calls are the commands as text.
func (p *fakeProject) calls() []string {
	p.t.Helper()
	var calls []string
	for _, args := range p.state().Calls {
		calls = append(calls, strings.Join(args, " "))
	}
	return calls
}

// readOnly are the verbs of commands that change nothing.
var readOnly = []string{"list", "describe", "get-iam-policy", "print-access-token"}

// changes are the calls that change something.
func (p *fakeProject) changes() []string {
	p.t.Helper()
	return slices.DeleteFunc(p.calls(), func(call string) bool {
		return slices.ContainsFunc(strings.Fields(call), func(word string) bool { return slices.Contains(readOnly, word) })
	})
}

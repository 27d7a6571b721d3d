package storetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func sqlite(t *testing.T) queue.Store {
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func noTx(*testing.T, queue.Store) queue.Tx { return nil }

var incompleteHarnesses = map[string]struct {
	harness storetest.Harness
	want    string
}{
	"empty":          {storetest.Harness{}, "Harness.Open is required"},
	"no Open":        {storetest.Harness{Begin: noTx}, "Harness.Open is required"},
	"no Begin":       {storetest.Harness{Open: sqlite}, "Harness.Begin is required"},
	"no store":       {storetest.Harness{Open: func(*testing.T) queue.Store { return nil }, Begin: noTx}, "Harness.Open returned nil"},
	"no transaction": {storetest.Harness{Open: sqlite, Begin: noTx}, "Harness.Begin returned nil"},
}

// A harness that lacks what the suite needs fails it with a message, and not with a
// panic.
func TestIncompleteHarness(t *testing.T) {
	const variable = "STORETEST_HARNESS"
	if name := os.Getenv(variable); name != "" { // the process whose test is to fail
		storetest.Run(t, incompleteHarnesses[name].harness)
		return
	}
	for name, c := range incompleteHarnesses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIncompleteHarness$/^(Tx|Model)$")
			command.Env = append(os.Environ(), variable+"="+name)
			out, err := command.CombinedOutput()
			if text := string(out); err == nil || !strings.Contains(text, c.want) || strings.Contains(text, "panic:") {
				t.Errorf("%v, want %q:\n%.2000s", err, c.want, text)
			}
		})
	}
}

package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The store of docs/stores.md is a module of its own, as that of another team is,
// and passes the part of storetest that every store must pass.
func TestTheExampleStorePassesTheSuite(t *testing.T) {
	test := exec.CommandContext(t.Context(), "go", "test", "-v", "-count=1", "./...")
	test.Dir, test.Env = "memstore", append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
	out, err := test.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, section := range []string{"Row", "Claim", "Fence", "Outbox", "Tx", "Cancel", "Failure", "Model", "Linear"} {
		if !strings.Contains(string(out), "--- PASS: TestStore/"+section+" ") {
			t.Errorf("section %s did not run", section)
		}
	}
}

// Each block of Go in docs/stores.md is a part of the example, white space aside.
func TestTheStoresPageQuotesTheExample(t *testing.T) {
	space := regexp.MustCompile(`\s+`)
	squeezed := func(text string) string { return space.ReplaceAllString(text, " ") }
	files, err := filepath.Glob("memstore/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source string
	for _, name := range files {
		source += squeezed(read(t, name))
	}
	for _, block := range goBlocks(t, "../docs/stores.md") {
		if !strings.Contains(source, squeezed(strings.TrimSpace(block))) {
			t.Errorf("this block is not in examples/memstore:\n%s", block)
		}
	}
}

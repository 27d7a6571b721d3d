package examples_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each block of Go in docs/stores.md is a part of the store in memory, or of its test,
// white space aside.
func TestTheStoresPageQuotesTheStore(t *testing.T) {
	space := regexp.MustCompile(`\s+`)
	squeezed := func(text string) string { return space.ReplaceAllString(text, " ") }
	files, err := filepath.Glob("../queue/queuetest/store*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source string
	for _, name := range files {
		source += squeezed(read(t, name))
	}
	for _, block := range goBlocks(t, "../docs/stores.md") {
		if !strings.Contains(source, squeezed(strings.TrimSpace(block))) {
			t.Errorf("this block is not in queue/queuetest:\n%s", block)
		}
	}
}

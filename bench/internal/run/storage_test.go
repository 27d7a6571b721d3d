package run

import (
	"os"
	"strings"
	"testing"
)

func TestFilesAreCopiedAndDropped(t *testing.T) {
	files := fileStorage{t.TempDir()}
	url, err := files.empty(t.Context(), "master")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(url, "sqlite:"), []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, err = files.replicate(t.Context(), "master", "copy")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(strings.TrimPrefix(url, "sqlite:")); err != nil || string(text) != "rows" {
		t.Errorf("the copy contains %q, %v", text, err)
	}
	files.drop(t.Context(), "master")
	files.drop(t.Context(), "copy")
	if left, err := os.ReadDir(files.dir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

package deploy_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestPinImagesWritesTheRegistrysDigests(t *testing.T) {
	var current atomic.Value // the registry's digest
	digest := "sha256:" + strings.Repeat("a", 64)
	current.Store(digest)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || !strings.Contains(r.Header.Get("Accept"), "image.index") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/v2/golang/manifests/1.26", "/v2/distroless/static-debian13/manifests/nonroot":
			w.Header().Set("Docker-Content-Digest", current.Load().(string))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	// The project's own file, with its registries on loopback.
	text := strings.NewReplacer("FROM golang:", "FROM "+host+"/golang:", "FROM gcr.io/", "FROM "+host+"/").Replace(read(t, "Dockerfile"))
	file := filepath.Join(t.TempDir(), "Dockerfile")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	want := strings.NewReplacer("golang:1.26 AS", "golang:1.26@"+digest+" AS", "static-debian13:nonroot", "static-debian13:nonroot@"+digest).Replace(text)
	for range 2 { // the second time it renews digests
		got := run(t, nil, "tools/pin-images.sh", file)
		pinned, err := os.ReadFile(file)
		if got.status != 0 || err != nil || string(pinned) != want {
			t.Fatalf("%d %s%s\n%s", got.status, got.stdout, got.stderr, pinned)
		}
		current.Store("sha256:" + strings.Repeat("b", 64))
		want = strings.ReplaceAll(want, strings.Repeat("a", 64), strings.Repeat("b", 64))
	}
	gone := strings.ReplaceAll(text, "debian13", "debian99")
	write(gone)
	got := run(t, nil, "tools/pin-images.sh", file)
	if left, _ := os.ReadFile(file); got.status == 0 || !strings.Contains(got.stderr, "does not have distroless/static-debian99:nonroot") || string(left) != gone {
		t.Errorf("%d %s\n%s", got.status, got.stderr, left)
	}
}

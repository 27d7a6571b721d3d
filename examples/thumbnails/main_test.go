package main

import (
	"bytes"
	"encoding/json"
	"image"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

func upload(t *testing.T, g gallery, client *queue.Client, data []byte) (answer uploaded) {
	t.Helper()
	w := httptest.NewRecorder()
	g.upload(client)(w, httptest.NewRequest("POST", "/", bytes.NewReader(data)))
	if err := json.NewDecoder(w.Body).Decode(&answer); err != nil {
		t.Fatalf("%d: %v", w.Code, err)
	}
	return answer
}

// size is that of a thumbnail in the gallery.
func size(t *testing.T, g gallery, name string) image.Point {
	t.Helper()
	data, err := os.ReadFile(g.path(name, ".thumbnail.png"))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return picture.Bounds().Size()
}

func TestAnUploadMakesAThumbnailOnce(t *testing.T) {
	g := gallery{t.TempDir()}
	client, _ := queuetest.New(t, Thumbnail.Handle(g.thumbnail))
	first := upload(t, g, client, sample(640, 480))
	again := upload(t, g, client, sample(640, 480))
	if first.Existed || !again.Existed || first.Task != again.Task {
		t.Errorf("%+v, then %+v", first, again)
	}
	queuetest.RequireEnqueued(t, client, Thumbnail, queuetest.Args(Image{Name: first.Name}), queuetest.UniqueKey(first.Name))
	queuetest.Drain(t, client)
	if got := size(t, g, first.Name); got != image.Pt(160, 120) {
		t.Errorf("the thumbnail has %v", got)
	}
}

func TestWhatIsNoImageFailsAtOnce(t *testing.T) {
	g := gallery{t.TempDir()}
	client, _ := queuetest.New(t, Thumbnail.Handle(g.thumbnail))
	upload(t, g, client, []byte("not an image"))
	queuetest.Drain(t, client)
	if got := queuetest.RequireEnqueued(t, client, Thumbnail, queuetest.Status(queue.StatusFailed)); got.Attempts != 1 {
		t.Errorf("%d attempts", got.Attempts)
	}
}

func TestAMissingFileIsRetried(t *testing.T) {
	g := gallery{t.TempDir()}
	client, _ := queuetest.New(t, Thumbnail.Handle(g.thumbnail))
	name := upload(t, g, client, sample(100, 300)).Name
	stored := g.path(name, ".original")
	if err := os.Rename(stored, stored+".away"); err != nil {
		t.Fatal(err)
	}
	queuetest.Drain(t, client)
	if err := os.Rename(stored+".away", stored); err != nil {
		t.Fatal(err)
	}
	queuetest.DrainFor(t, client, time.Minute)
	if got := size(t, g, name); got != image.Pt(53, 160) {
		t.Errorf("the thumbnail has %v", got)
	}
}

// The whole way: row, Cloud Task, HTTP request with a token, thumbnail.
func TestThroughCloudTasks(t *testing.T) {
	g := gallery{t.TempDir()}
	p := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(Thumbnail.Handle(g.thumbnail))})
	name := upload(t, g, p.Client, sample(20, 10)).Name
	p.Wait(t, 30*time.Second)
	if got := size(t, g, name); got != image.Pt(20, 10) {
		t.Errorf("the thumbnail has %v", got)
	}
}

// Command thumbnails accepts images by HTTP and makes their thumbnails in tasks, with
// nothing but the standard library. "go run ." uploads an image to itself and shows what
// becomes of it.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

const maxUpload = 10 << 20

// Thumbnail is the task. Its arguments name the image and do not contain it: a row is no
// place for megabytes.
var Thumbnail = queue.Declare[Image, Size]("images.thumbnail", queue.OnQueue("images"), queue.MaxAttempts(3), queue.Timeout(time.Minute))

// Image are the arguments of Thumbnail.
type Image struct {
	Name string `json:"name"` // the SHA-256 of the file
}

// Size is that of a thumbnail in pixels.
type Size struct {
	Width, Height int
}

// gallery keeps images and their thumbnails in a directory; a bucket would do the same.
type gallery struct{ dir string }

func (g gallery) path(name, kind string) string { return filepath.Join(g.dir, name+kind) }

// write writes a file at once, so that no reader sees half of it, and a task that runs
// twice changes nothing.
func (g gallery) write(path string, data []byte) error {
	file, err := os.CreateTemp(g.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once it has its name
	if _, err := file.Write(data); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// thumbnail is the task's function.
func (g gallery) thumbnail(_ context.Context, in Image) (Size, error) {
	data, err := os.ReadFile(g.path(in.Name, ".original"))
	if err != nil {
		return Size{}, err // retried: the storage may be back later
	}
	original, err := decode(data)
	if err != nil {
		return Size{}, queue.Discard(err) // it stays what it is
	}
	small := shrink(original, 160)
	var out bytes.Buffer
	if err := png.Encode(&out, small); err != nil {
		return Size{}, err
	}
	return Size{small.Rect.Dx(), small.Rect.Dy()}, g.write(g.path(in.Name, ".thumbnail.png"), out.Bytes())
}

// upload stores an image, and enqueues its thumbnail. The key makes the same image one
// task, however often it is uploaded.
func (g gallery) upload(client *queue.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpload))
		if err != nil {
			http.Error(w, "an image of at most 10 MiB, please", http.StatusRequestEntityTooLarge)
			return
		}
		name := fmt.Sprintf("%x", sha256.Sum256(data))
		if err := g.write(g.path(name, ".original"), data); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		handle, err := Thumbnail.Enqueue(r.Context(), client, Image{Name: name}, queue.Unique(name, queue.WhileKept()))
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(uploaded{Task: handle.ID, Name: name, Existed: handle.Existed})
	}
}

// uploaded is the answer to an upload.
type uploaded struct {
	Task    uuid.UUID `json:"task"`
	Name    string    `json:"name"`
	Existed bool      `json:"existed"` // it has been uploaded before
}

func main() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "thumbnails-")
	check(err)
	defer os.RemoveAll(dir)
	g := gallery{dir}
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	check(err)
	client, err := queue.StartLocal(ctx, queue.Config{
		Store: store, Registry: queue.NewRegistry(Thumbnail.Handle(g.thumbnail)), Logger: slog.New(slog.DiscardHandler),
	})
	check(err)
	server := httptest.NewServer(g.upload(client))
	defer server.Close()

	for _, photo := range [][]byte{sample(640, 480), sample(300, 900), sample(640, 480), []byte("not an image")} {
		response, err := http.Post(server.URL, "application/octet-stream", bytes.NewReader(photo))
		check(err)
		var answer uploaded
		check(json.NewDecoder(response.Body).Decode(&answer))
		check(response.Body.Close())
		size, err := Thumbnail.Wait(ctx, client, answer.Task)
		switch {
		case err != nil:
			fmt.Println("no thumbnail:", err.(*queue.FailedError).Row.Errors[0].Message)
		case answer.Existed:
			fmt.Println("known already:", size.Width, "×", size.Height)
		default:
			fmt.Println("thumbnail:", size.Width, "×", size.Height)
		}
	}
}

// sample is a picture with a gradient.
func sample(width, height int) []byte {
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			picture.Set(x, y, color.RGBA{uint8(255 * x / width), uint8(255 * y / height), 128, 255})
		}
	}
	var out bytes.Buffer
	check(png.Encode(&out, picture))
	return out.Bytes()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

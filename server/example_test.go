package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server"
)

// A whole program: go run . serves it, go run . --help lists its commands and
// settings.
func ExampleMain() {
	greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) {
		return "Hello, " + name + "!", nil
	})
	server.Main(greet)
}

// A program with a task that needs a mail server, whose connection is made with the
// settings and closed at the end. Commands that run nothing, such as status, need only
// the declaration.
func ExampleRun() {
	type Mail struct {
		To, Text string
	}
	sendMail := queue.Declare[Mail, any]("emails.send", queue.OnQueue("emails"))

	os.Exit(server.Run(context.Background(), server.Config{
		Tasks: []queue.Definition{sendMail},
		Setup: func(_ context.Context, app *server.App) ([]queue.Definition, error) {
			address := os.Getenv("SMTP_ADDRESS")
			if address == "" {
				return nil, errors.New("SMTP_ADDRESS is required, such as mail.example.com:25")
			}
			connection, err := smtp.Dial(address)
			if err != nil {
				return nil, err
			}
			app.OnClose(connection.Close)
			return []queue.Definition{sendMail.Handle(func(_ context.Context, m Mail) (any, error) {
				app.Logger().Info("mail", "to", m.To)
				return nil, connection.Verify(m.To)
			})}, nil
		},
		Handler: func(*server.App) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") })
		},
	}, os.Args[1:]))
}

// A program that keeps its own main and its own routes. Most programs leave Settings
// to the environment.
func ExampleOpen() {
	ctx := context.Background()
	greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) {
		return "Hello, " + name + "!", nil
	})
	app, err := server.Open(ctx, server.Config{
		Tasks:     []queue.Definition{greet},
		Settings:  server.Settings{DatabaseURL: "sqlite::memory:"},
		IgnoreEnv: true,
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = app.Run(ctx) }() // runs the tasks when there is no Cloud Tasks

	mux := http.NewServeMux()
	mux.Handle("/tasks/", app.TasksHandler())
	mux.Handle("/admin/", app.AdminHandler())
	mux.HandleFunc("POST /greet", func(w http.ResponseWriter, r *http.Request) {
		task, err := greet.Enqueue(r.Context(), app.Client(), r.FormValue("name"))
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		text, _ := greet.Wait(r.Context(), app.Client(), task.ID)
		fmt.Fprintln(w, text)
	})
	answer := httptest.NewRecorder() // http.ListenAndServe(address, mux) in a program
	mux.ServeHTTP(answer, httptest.NewRequest("POST", "/greet?name=world", nil))
	fmt.Print(answer.Body)

	ending, cancel := context.WithTimeout(ctx, 9*time.Second)
	defer cancel()
	if err := app.Shutdown(ending); err != nil {
		log.Fatal(err)
	}
	// Output: Hello, world!
}

// Command serve is a program with two tasks and the whole command line of package
// server: serve, work, enqueue, doctor and so on. One of its tasks has a dependency,
// which is made with the settings.
package main

import (
	"context"
	"os"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server"
)

// Greet needs nothing.
var Greet = queue.NewTask("greet", func(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
})

// SendWelcome needs a mailer, which setup opens. The declaration is enough to enqueue
// it.
var SendWelcome = queue.Declare[Welcome, string]("emails.send_welcome", queue.OnQueue("emails"), queue.MaxAttempts(8))

// Welcome are the arguments of SendWelcome.
type Welcome struct {
	Email string `json:"email"`
}

func main() {
	os.Exit(server.Run(context.Background(), server.Config{
		Tasks: []queue.Definition{Greet, SendWelcome},
		Setup: setup,
	}, os.Args[1:]))
}

// setup returns the tasks that have dependencies.
func setup(_ context.Context, app *server.App) ([]queue.Definition, error) {
	mails, err := openMailer(os.Getenv("MAILBOX"), app.Logger())
	if err != nil {
		return nil, err
	}
	app.OnClose(mails.Close)
	return []queue.Definition{SendWelcome.Handle(mails.sendWelcome)}, nil
}

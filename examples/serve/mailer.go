package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"os"

	"github.com/claimcheck-go/claimcheck/queue"
)

// mailer stands in for a mail server: it appends to a file. It is safe for
// concurrent use.
type mailer struct {
	file *os.File
	log  *slog.Logger
}

func openMailer(path string, log *slog.Logger) (*mailer, error) {
	if path == "" {
		return nil, errors.New("MAILBOX is required: the file that mails are written to")
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &mailer{file, log}, nil
}

// Close is called when the program ends.
func (m *mailer) Close() error { return m.file.Close() }

// sendWelcome is the task's function. A task may run twice, so the mail has an ID
// by which its receiver can drop the second.
func (m *mailer) sendWelcome(ctx context.Context, to Welcome) (messageID string, err error) {
	address, err := mail.ParseAddress(to.Email)
	if err != nil {
		return "", queue.Discard(err) // it will not get better
	}
	info, _ := queue.InfoFrom(ctx)
	messageID = info.ID.String() + "@example.com"
	_, err = fmt.Fprintf(m.file, "Message-ID: <%s>\nTo: %s\nSubject: Welcome\n\n", messageID, address)
	if err == nil {
		m.log.InfoContext(ctx, "mail sent", "message_id", messageID)
	}
	return messageID, err
}

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

func TestTheWelcomeMailIsWritten(t *testing.T) {
	mailbox := filepath.Join(t.TempDir(), "mailbox")
	mails, err := openMailer(mailbox, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mails.Close() })
	client, _ := queuetest.New(t, SendWelcome.Handle(mails.sendWelcome))

	handle, err := SendWelcome.Enqueue(t.Context(), client, Welcome{Email: "zoe@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	queuetest.Drain(t, client)
	id, err := SendWelcome.Result(t.Context(), client, handle.ID)
	text, _ := os.ReadFile(mailbox)
	if err != nil || !strings.Contains(string(text), "Message-ID: <"+id+">\nTo: <zoe@example.com>") {
		t.Errorf("%v: %s", err, text)
	}
}

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

func TestTheWelcomeMailIsWritten(t *testing.T) {
	mailbox := filepath.Join(t.TempDir(), "mailbox")
	mails, err := openMailer(mailbox, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mails.Close() })
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	client, _, err := queuetest.Immediate(queue.Config{Store: store, Registry: queue.NewRegistry(SendWelcome.Handle(mails.sendWelcome))})
	if err != nil {
		t.Fatal(err)
	}

	handle, err := SendWelcome.Enqueue(t.Context(), client, Welcome{Email: "zoe@example.com"}) // runs it
	if err != nil {
		t.Fatal(err)
	}
	id, err := SendWelcome.Result(t.Context(), client, handle.ID)
	text, _ := os.ReadFile(mailbox)
	if err != nil || !strings.Contains(string(text), "Message-ID: <"+id+">\nTo: <zoe@example.com>") {
		t.Errorf("%v: %s", err, text)
	}
}

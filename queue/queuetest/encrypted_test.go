package queuetest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

func TestEncryptedTasksAreReadAsTheyWereEnqueued(t *testing.T) {
	keyring, err := aead.New(bytes.Repeat([]byte("h"), 32), aead.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	store := queuetest.NewStore(nil)
	client := queuetest.NewClient(t, queue.Config{Store: store, Registry: queue.NewRegistry(sendMail), Codec: keyring})
	ann := mail{To: "ann"}
	handle := enqueue(t, client, sendMail, ann)
	queuetest.RequireEnqueued(t, client, sendMail, queuetest.Args(ann))
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail, queuetest.Args(mail{To: "bob"})) }, `args.to is "ann", want "bob"`)
	if stored, err := store.Get(t.Context(), handle.ID); err != nil || bytes.Contains(stored.Args, []byte("ann")) {
		t.Errorf("stored: %s, %v", stored.Args, err)
	}
	if out, err := queuetest.Run(t, client, sendMail, ann); err != nil || out != "sent to ann" {
		t.Errorf("%q, %v", out, err)
	}
}

// docs/tasks.md has these lines.
func TestATaskThatMustBeEncryptedIsTestedWithKeysOfTheTest(t *testing.T) {
	charge := queue.NewTask("charge", func(_ context.Context, card string) (string, error) { return card, nil }, queue.Encrypt(true))
	keyring, _ := aead.New(aead.NewKey(aead.HashKey).Secret, aead.NewKey("test"))
	clock := queuetest.NewClock(time.Now())
	client := queuetest.NewClient(t, queue.Config{Store: queuetest.NewStore(clock), Registry: queue.NewRegistry(charge), Codec: keyring})
	enqueue(t, client, charge, "4111")
	queuetest.Drain(t, client)
	queuetest.RequireEnqueued(t, client, charge, queuetest.Args("4111"), queuetest.Status(queue.StatusSuccessful))
}

func TestDrainForPassesAScheduleThatIsRefused(t *testing.T) {
	refuse, tries := true, 0
	more := queue.Middleware{Enqueue: func(next queue.EnqueueFunc) queue.EnqueueFunc {
		return func(ctx context.Context, rows []*queue.Row) error {
			if tries++; refuse {
				return errors.New("suspended")
			}
			return next(ctx, rows)
		}
	}}
	store := queuetest.NewStore(queuetest.NewClock(time.Now()))
	client := queuetest.NewClient(t, queue.Config{
		Store: store, Middleware: []queue.Middleware{more}, Registry: queue.NewRegistry(sendMail, queue.Every("mails", "@every 1h", sendMail, mail{To: "ann"})),
	})
	if runs := queuetest.DrainFor(t, client, 2*time.Hour); len(runs) > 0 || tries < 2 || tries > 61 {
		t.Errorf("%d runs, %d tries", len(runs), tries)
	}
	refuse = false
	if runs := queuetest.Drain(t, client); len(runs) != 1 {
		t.Errorf("%d runs", len(runs))
	}
}

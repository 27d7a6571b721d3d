package queuetest_test

import (
	"bytes"
	"testing"

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

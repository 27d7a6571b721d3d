package aead_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// A client with a keyring stores what tasks get and return encrypted. Its callers see no
// difference.
func Example() {
	ctx := context.Background()
	keyring, err := aead.New(aead.NewKey(aead.HashKey).Secret, aead.NewKey("2026-11")) // a program reads its keys: Parse
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	charge := queue.NewTask("cards.charge", func(_ context.Context, card string) (string, error) {
		return "charged " + card[len(card)-4:], nil
	})
	client, err := queue.NewClient(queue.Config{
		Store: store, Registry: queue.NewRegistry(charge), Codec: keyring, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	handle, err := charge.Enqueue(ctx, client, "4111111111111111")
	if err != nil {
		log.Fatal(err)
	}
	stored, err := store.Get(ctx, handle.ID) // not through the client
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("key", aead.ShortID(stored.KeyID), "in plain text:", bytes.Contains(stored.Args, []byte("4111")))

	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := executor.ProcessOne(ctx, queue.From{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(charge.Result(ctx, client, handle.ID))
	// Output:
	// key 2026-11 in plain text: false
	// charged 1111 <nil>
}

// A setting has one line for each key. The first is the one for new rows; with the others,
// rows are decrypted.
func ExampleParse() {
	text := aead.NewKey(aead.HashKey).String() + "\n" + aead.NewKey("2027-01").String() + "\n" + aead.NewKey("2026-11").String()
	keyring, err := aead.Parse(text)
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range keyring.Keys() {
		fmt.Println(aead.ShortID(id)) // the whole ID depends on the secret
	}
	// Output:
	// 2027-01
	// 2026-11
}

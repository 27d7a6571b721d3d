package queuetest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

// failing is a test that is expected to fail.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper()        {}
func (f *failing) Log(...any)     {}
func (f *failing) Cleanup(func()) {}

func (f *failing) Fatal(args ...any) {
	f.text = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// fails returns with what text do ends its test.
func fails(t *testing.T, do func(t testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	ended := make(chan bool, 1)
	go func() {
		defer func() { ended <- true }()
		do(f)
	}()
	<-ended
	if f.text == "" {
		t.Fatal("it did not end the test")
	}
	return f.text
}

// says checks the text with which do ends its test: its parts come in this order.
func says(t *testing.T, do func(t testing.TB), parts ...string) {
	t.Helper()
	text := fails(t, do)
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%q is missing, or not in this place, in:\n%s", part, text)
			return
		}
		rest = after
	}
}

// What a client cannot run, or cannot have enqueued, is said to be so.
func TestMistakesOfATestAreNamed(t *testing.T) {
	bare := queue.Declare[mail, string]("mail.elsewhere")
	hash := aead.NewKey(aead.HashKey).Secret
	keyring, err := aead.New(hash, aead.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := aead.New(hash, aead.NewKey("k2"))
	if err != nil {
		t.Fatal(err)
	}
	clock := queuetest.NewClock(time.Now())
	store := queuetest.NewStore(clock)
	client := queuetest.NewClient(t, queue.Config{Store: store, Registry: queue.NewRegistry(bare, sendMail), Codec: keyring})
	enqueue(t, client, bare, mail{})
	says(t, func(t testing.TB) { queuetest.RunOne(t, client) }, "no task is due", "mail.elsewhere READY, whose function this client does not have")
	enqueue(t, client, sendMail, mail{})
	without := queuetest.NewClient(t, queue.Config{Store: store, Registry: queue.NewRegistry(sendMail), Codec: other})
	says(t, func(t testing.TB) { queuetest.RunOne(t, without) }, "mail.send READY, encrypted with key "+keyring.Keys()[0]+", which this client does not have")
	says(t, func(t testing.TB) { queuetest.RequireNone(t, without, bare) }, "mail.elsewhere is not registered in this client")
	says(t, func(t testing.TB) { queuetest.DrainFor(t, client, -time.Hour) }, "DrainFor(-1h0m0s): the time must not be negative")
}

package admin

import (
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Limits of wrong tokens.
const (
	guessEvery   = 6 * time.Second // and address, once addressBurst are used up
	addressBurst = 20
	maxAddresses = 4096 // that have limits of their own
	allGuesses   = 20   // a second, from everywhere
	allBurst     = 50
)

// wrongToken is a login that was refused.
type wrongToken struct {
	status  int
	text    lang.Text
	wait    time.Duration // before the next try; 0: none
	counted bool          // within the limit of logged refusals
}

func (e *wrongToken) Error() string { return e.text.String() }

// guesses limits wrong tokens. A client's own wrong tokens block it for a while; those
// of other clients never do: tokens from addresses that many clients share, and those
// beyond the limit of all clients together, are refused only if they are wrong. It is
// safe for concurrent use.
type guesses struct {
	all *rate.Limiter

	mu    sync.Mutex
	by    map[netip.Prefix]*rate.Limiter
	swept time.Time
}

func newGuesses() *guesses {
	return &guesses{all: rate.NewLimiter(allGuesses, allBurst), by: make(map[netip.Prefix]*rate.Limiter)}
}

// check accepts or refuses a token that came from an address. The error is a *wrongToken.
func (g *guesses) check(from netip.Addr, right bool) error {
	own := g.limiter(from)
	if own != nil && own.Tokens() < 1 {
		wait := time.Duration(math.Ceil((1-own.Tokens())*guessEvery.Seconds())) * time.Second
		return &wrongToken{http.StatusTooManyRequests, lang.M("Too many wrong tokens came from your address, %s. Retry in %d seconds.", from.String(), int(wait/time.Second)), wait, g.all.Allow()}
	}
	if right {
		return nil
	}
	if own != nil {
		own.Allow()
	}
	if !g.all.Allow() {
		return &wrongToken{http.StatusTooManyRequests, lang.M("This token is wrong. Many wrong tokens are coming in at the moment; the right one is still accepted."), time.Second, false}
	}
	return &wrongToken{http.StatusUnauthorized, lang.M("This token is wrong."), 0, true}
}

// limiter returns the limiter of an address; nil where clients cannot be distinguished:
// at a proxy's address, or when there are too many. An IPv6 client is a /64 network.
func (g *guesses) limiter(from netip.Addr) *rate.Limiter {
	from = from.Unmap().WithZone("")
	if !from.IsGlobalUnicast() || from.IsPrivate() {
		return nil // none, loopback, link-local or private: it may be a proxy's
	}
	bits := 32
	if from.Is6() {
		bits = 64
	}
	client, err := from.Prefix(bits)
	if err != nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.by[client]; known != nil {
		return known
	}
	if len(g.by) >= maxAddresses && !g.sweep(time.Now()) {
		return nil
	}
	limiter := rate.NewLimiter(rate.Every(guessEvery), addressBurst)
	g.by[client] = limiter
	return limiter
}

// sweep forgets addresses whose limit is full again, at most once a second, and
// reports whether there is room.
func (g *guesses) sweep(now time.Time) bool {
	if now.Sub(g.swept) < time.Second {
		return false
	}
	g.swept = now
	for client, limiter := range g.by {
		if limiter.TokensAt(now) >= addressBurst {
			delete(g.by, client)
		}
	}
	return len(g.by) < maxAddresses
}

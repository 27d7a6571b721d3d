package admin

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of wrong tokens.
const (
	guessEvery   = 6 * time.Second // and address, once addressBurst are used up
	addressBurst = 20
	maxAddresses = 4096 // that are told apart
	allGuesses   = 20   // a second, from everywhere
	allBurst     = 50
)

// wrongToken is a login that was refused.
type wrongToken struct {
	status  int
	text    string
	wait    time.Duration // 0: there is no need to
	counted bool          // worth a line in the log: there were not too many
}

func (e *wrongToken) Error() string { return e.text }

// guesses limits wrong tokens. A client's own wrong ones keep it out for a while;
// those of others never do: what comes from addresses that many share, and what
// exceeds the bound of all together, is refused only if it is wrong. It is safe
// for concurrent use.
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
		return &wrongToken{http.StatusTooManyRequests, fmt.Sprintf("Too many wrong tokens came from your address, %s. "+
			"The next one is looked at in %s.", from, wait), wait, g.all.Allow()}
	}
	if right {
		return nil
	}
	if own != nil {
		own.Allow()
	}
	if !g.all.Allow() {
		return &wrongToken{http.StatusTooManyRequests, "This token is not accepted. Many wrong ones are coming in; the right one is accepted all the same.", time.Second, false}
	}
	return &wrongToken{http.StatusUnauthorized, "This token is not accepted.", 0, true}
}

// limiter returns the limiter of an address; nil where clients cannot be told
// apart: at a proxy's address, or when there are too many. IPv6 clients have a
// whole network each.
func (g *guesses) limiter(from netip.Addr) *rate.Limiter {
	from = from.Unmap().WithZone("")
	if !from.IsGlobalUnicast() || from.IsPrivate() {
		return nil // none, loopback, link-local, or inside a network: there a proxy may stand
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

// sweep forgets addresses that have waited long enough, at most once a second,
// and reports whether there is room then.
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

package chaos

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/books"
)

// connections is how many a worker keeps to its database.
const connections = books.Conns

func TestChaosPostgres(t *testing.T) {
	o := newOptions(t, 25*time.Second)
	r := start(t, o, newPostgres(t, o), 3)
	r.execute().report(t)
}

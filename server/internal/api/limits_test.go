package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// deadlines is a ResponseWriter that notes its read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

func TestOnlyRequestsWithABodyHaveAReadDeadline(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	api.LimitBodyTime(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !w.read.IsZero() {
		t.Errorf("deadline %s: it would end the request's context in the middle of a purge", w.read)
	}
	api.LimitBodyTime(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
	if left := time.Until(w.read); left <= 0 || left > 15*time.Second {
		t.Errorf("a body may take %s", left)
	}
}

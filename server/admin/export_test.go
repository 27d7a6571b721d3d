package admin

import (
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// WaitForStats makes pages wait for statistics for as long as they take.
func WaitForStats(pages http.Handler) http.Handler {
	pages.(*handler).stats.patience = time.Minute
	return pages
}

// HurryStats makes pages not wait for statistics at all.
func HurryStats(pages http.Handler) { pages.(*handler).stats.patience = 0 }

// OperatedBy makes pages read through an operator.
func OperatedBy(pages http.Handler, operator queue.Operator) http.Handler {
	pages.(*handler).operator = operator
	return pages
}

// MarkMessages makes pages mark each message, so that other words are found.
func MarkMessages(pages http.Handler) {
	marked := lang.Marked()
	pages.(*handler).language = func(*http.Request) *lang.Printer { return marked }
}

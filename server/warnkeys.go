package server

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// keysSample is how many of the latest tasks warnKeys looks at: it is one cheap statement of
// a start, and a program that lacks the keys in use finds them there.
const keysSample = 20

// warnKeys logs that the latest tasks have keys which this program does not have. It leaves
// those tasks, and a program that has no keys at all stores its own in plain text beside them.
func (app *App) warnKeys(ctx context.Context) {
	operator, err := app.client.Operator()
	if err != nil {
		return
	}
	page, err := operator.List(ctx, queue.ListRequest{Limit: keysSample})
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, queue.ErrUnavailable) {
			app.log.Warn("the keys of the latest tasks could not be compared with those of this program", "error", err)
		}
		return
	}
	var lacking []string
	for _, row := range page.Rows {
		if !app.client.Knows(row) && !slices.Contains(lacking, row.KeyID) {
			lacking = append(lacking, row.KeyID)
		}
	}
	switch keys := strings.Join(lacking, ","); {
	case keys == "":
	case len(app.client.Keys()) == 0:
		app.log.Warn("the latest tasks in the database are encrypted, and this program has no keys: it runs none of those, and stores its own in plain text; set TASKS_ENCRYPTION_KEYS", "keys", keys)
	default:
		app.log.Warn("among the latest tasks in the database are some with keys that this program does not have: it runs none of those; add the keys to TASKS_ENCRYPTION_KEYS", "keys", keys)
	}
}

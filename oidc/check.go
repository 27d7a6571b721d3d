package oidc

import (
	"context"
	"fmt"
)

// CheckKeys fetches the keys that tokens are verified with, and returns their URL
// and their number. It keeps none of them: it reports whether they can be fetched
// before the first token arrives.
func (v *Verifier) CheckKeys(ctx context.Context) (url string, keys int, err error) {
	found, _, err := v.keys.fetch(ctx)
	if err != nil {
		return v.keys.url, 0, fmt.Errorf("fetch the verification keys: %w", err)
	}
	return v.keys.url, len(found), nil
}

package oidc

import (
	"context"
	"fmt"
)

// CheckKeys fetches the keys that tokens are verified with, keeps nothing of
// them, and returns where they are and how many: for those who want to know
// whether they can be had before the first token comes.
func (v *Verifier) CheckKeys(ctx context.Context) (url string, keys int, err error) {
	found, _, err := v.keys.fetch(ctx)
	if err != nil {
		return v.keys.url, 0, fmt.Errorf("fetch the verification keys: %w", err)
	}
	return v.keys.url, len(found), nil
}

package api

import (
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Unique is the idempotency key of an enqueue, as the endpoint and the command take it;
// nil is what was not given.
type Unique struct{ Key, For, OnConflict *string }

// The values of Unique.
var (
	UniqueFors  = []string{"unfinished", "kept"} // or a duration
	OnConflicts = []string{"return", "replace", "error"}
)

// Option returns the option of the enqueue; nil without a key. Its errors call the fields
// by these names.
func (u Unique) Option(key, for_, onConflict string) (queue.Option, error) {
	if u.Key == nil {
		for _, given := range []struct {
			name  string
			value *string
		}{{for_, u.For}, {onConflict, u.OnConflict}} {
			if given.value != nil {
				return nil, BadRequest("%s needs %s: give the key, or leave it out", given.name, key)
			}
		}
		return nil, nil
	}
	if n := len(*u.Key); n == 0 || n > queue.MaxUniqueKey {
		return nil, BadRequest("%s must be 1 to %d bytes, not %d", key, queue.MaxUniqueKey, n)
	}
	var options []queue.UniqueOption
	if u.For != nil && *u.For == "kept" {
		options = append(options, queue.WhileKept())
	} else if u.For != nil && *u.For != "unfinished" {
		period, err := time.ParseDuration(*u.For)
		if err != nil || period <= 0 {
			return nil, BadRequest(`%s must be "unfinished", "kept" or a positive duration such as "1h", not %.60q`, for_, *u.For)
		}
		options = append(options, queue.UniqueFor(period))
	}
	if u.OnConflict != nil {
		conflict := slices.Index(OnConflicts, *u.OnConflict)
		if conflict < 0 {
			return nil, BadRequest(`%s must be "return", "replace" or "error", not %.60q`, onConflict, *u.OnConflict)
		}
		options = append(options, queue.OnConflict([]queue.Conflict{queue.ReturnExisting, queue.ReplaceExisting, queue.RefuseDuplicate}[conflict]))
	}
	return queue.Unique(*u.Key, options...), nil
}

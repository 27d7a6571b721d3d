package api_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// Texts that become the same when they are decoded are refused, in every field but the
// arguments, which the queue checks.
func TestTextsThatDecodingChangesAreRefused(t *testing.T) {
	for text, refused := range map[string]bool{
		`\ud800`: true, `a\uDFFFb`: true, `\ud800\ud800`: true, `\udc00\ud800`: true, `\ud800x`: true, `\ud800\n`: true, `\u0000`: true, `\\\ud800`: true, `\ud83d\\ude00`: true,
		`\ud83d\ude00`: false, `\\ud800`: false, `\\\\ud800`: false, `\ufffd`: false, `�`: false, `\u00e4\"`: false, `😀`: false, ``: false,
	} {
		for _, name := range []string{"unique_key", "task", "queue_name"} {
			var field string
			var pointer *string
			for _, into := range []any{&field, &pointer} {
				err := api.DecodeObject([]byte(`{"`+name+`":"`+text+`"}`), map[string]any{name: into})
				if refused != (err != nil) || refused && !strings.HasPrefix(err.Error(), name+` must not contain U+0000 or lone surrogates (\ud800 to \udfff, but in pairs)`) {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	}
}

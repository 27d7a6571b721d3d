package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRenderFillsInEverythingOrSaysWhatIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	text := "# ${COMMENT} is only spoken of\na: ${ONE}\nb: '${TWO}-${ONE}'\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		stdout string
		stderr string
	}{
		"all given":          {[]string{"ONE=1&2", "TWO=/x%40y"}, "# ${COMMENT} is only spoken of\na: 1&2\nb: '/x%40y-1&2'\n", ""},
		"an empty value":     {[]string{"ONE=", "TWO=2"}, "# ${COMMENT} is only spoken of\na: \nb: '2-'\n", ""},
		"one missing":        {[]string{"ONE=1"}, "", "still needs: ${TWO}"},
		"all missing":        {nil, "", "still needs: ${ONE} ${TWO}"},
		"one too many":       {[]string{"ONE=1", "TWO=2", "THREE=3"}, "", "has no place for THREE"},
		"only in a comment":  {[]string{"ONE=1", "TWO=2", "COMMENT=3"}, "", "has no place for COMMENT"},
		"not a pair":         {[]string{"ONE"}, "", "ONE is not NAME=VALUE"},
		"a quote":            {[]string{"ONE=a'b", "TWO=2"}, "", "the value of ONE must not have quotes"},
		"a line break":       {[]string{"ONE=1\nevil: true", "TWO=2"}, "", "line breaks"},
		"a placeholder":      {[]string{"ONE=${TWO}", "TWO=2"}, "", "must not have a placeholder"},
		"a file that is not": {nil, "", "cannot be read"},
	} {
		path := file
		if name == "a file that is not" {
			path += ".gone"
		}
		got := run(t, nil, "deploy/render.sh", append([]string{path}, c.args...)...)
		if got.stdout != c.stdout || (got.status == 0) != (c.stderr == "") || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", name, got.status, got.stdout, got.stderr)
		}
	}
}

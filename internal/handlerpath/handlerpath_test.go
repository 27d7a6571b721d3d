package handlerpath

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for path, want := range map[string]string{
		Default: "", "/{task_id}": "", "/a/b-{task_id}.x": "",
		"": "once", "/tasks/": "once", "/{task_id}/{task_id}/": "once",
		"tasks/{task_id}/": "begin with /", "/a b/{task_id}/": "no space", "/{task_id}/?a": "no space, ?", "/{task_id}#": "or #",
		"//{task_id}/": "no empty part", "/a//{task_id}": "no empty part",
	} {
		err := Check(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", path, err, want)
		}
	}
}

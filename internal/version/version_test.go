package version

import (
	"runtime/debug"
	"testing"
)

func TestInfoPrefersTheLinkersValues(t *testing.T) {
	recorded := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	for name, c := range map[string]struct {
		version, revision string
		info              *debug.BuildInfo
		want              Info
	}{
		"an image":   {"v2.0.0", "def", recorded, Info{"v2.0.0", "def", "go1.26.0"}},
		"go install": {"", "", recorded, Info{"v1.2.3", "abc-dirty", "go1.26.0"}},
		"nothing":    {"", "", &debug.BuildInfo{GoVersion: "go1.26.0"}, Info{"unknown", "unknown", "go1.26.0"}},
	} {
		if got := from(c.version, c.revision, c.info); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Package version knows which build of the module this program is.
package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// The Dockerfile sets these with -ldflags -X, because a build of an image has no
// repository that the go command could read them from.
var version, revision string

// Info describes a build. Fields that nothing recorded are "unknown".
type Info struct {
	Version  string // module version, or the tag of the image
	Revision string // commit, with the suffix -dirty for a modified tree
	Go       string // version of Go
}

const unknown = "unknown"

// Get returns the build information of this program: what the linker was given, else
// what the go command recorded.
func Get() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return from(version, revision, info)
}

func from(version, revision string, info *debug.BuildInfo) Info {
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	recorded := settings["vcs.revision"]
	if recorded != "" && settings["vcs.modified"] == "true" {
		recorded += "-dirty"
	}
	return Info{
		Version:  cmp.Or(version, info.Main.Version, unknown),
		Revision: cmp.Or(revision, recorded, unknown),
		Go:       cmp.Or(info.GoVersion, runtime.Version()),
	}
}

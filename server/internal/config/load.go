package config

import (
	"errors"

	"github.com/alecthomas/kong"
)

// Load reads the settings from an environment alone, for a program without a
// command line of ours. The error joins a [Problem] for every setting that is
// blank, or is the first that cannot be read.
func Load(env Environment) (*Settings, *Sources, error) {
	var settings Settings
	sources := NewSources(nil, env)
	parser, err := kong.New(&settings, sources.Options()...)
	if err != nil {
		panic(err) // the tags of Settings are wrong
	}
	parsed, err := sources.Parse(parser)
	if err == nil {
		err = sources.CheckBlank(parsed)
	}
	return &settings, sources, err
}

// Defaults returns the settings of an empty environment.
func Defaults() *Settings {
	settings, _, err := Load(nil)
	if err != nil {
		panic(errors.Join(errors.New("the defaults of Settings are refused"), err))
	}
	return settings
}

package server

import (
	"cmp"
	"fmt"

	"github.com/claimcheck-go/claimcheck/internal/version"
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints which build this is.
func (c *versionCmd) Run(p *program) error {
	if c.JSON {
		build := p.build()
		return p.printJSON(struct {
			Name     string `json:"name"`
			Version  string `json:"version"`
			Revision string `json:"revision"`
			Go       string `json:"go"`
		}{p.name, build.Version, build.Revision, build.Go})
	}
	_, err := fmt.Fprintln(p.stdout, p.versionText())
	return err
}

// build is the build information of this program. A version that the program was
// given wins over the recorded one.
func (p *program) build() version.Info {
	build := version.Get()
	build.Version = cmp.Or(p.own.Version, build.Version)
	return build
}

// versionText is what version and --version print.
func (p *program) versionText() string {
	build := p.build()
	return fmt.Sprintf("%s %s\ncommit %s\n%s", p.name, build.Version, build.Revision, build.Go)
}

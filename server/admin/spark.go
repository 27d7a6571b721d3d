package admin

import (
	"fmt"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Size of a sparkline, in its own units.
const (
	sparkHeight = 24
	sparkBar    = 4
	sparkGap    = 1
)

// spark is a small chart of the last 24 hours: a bar an hour, those that failed at its
// bottom. The last hour is not over, and is drawn as an outline.
type spark struct {
	Width, Height int
	Ended, Failed string // paths
	Now           string
	Says          string // the same in words
}

func newSpark(p *lang.Printer, name string, hours *[24]queue.Outcomes) spark {
	s := spark{Width: len(hours)*(sparkBar+sparkGap) - sparkGap, Height: sparkHeight}
	most, ended, failed := 0, 0, 0
	for i := range hours {
		most = max(most, hours[i].Ended())
		ended += hours[i].Ended()
		failed += hours[i].Failed
	}
	var all, bad strings.Builder
	for i := range hours {
		n, last := hours[i].Ended(), i == len(hours)-1
		if n == 0 {
			continue
		}
		x, height := i*(sparkBar+sparkGap), max(1, n*sparkHeight/most)
		if last {
			s.Now = fmt.Sprintf("M%d.5 %dv-%dh%dv%dz", x, sparkHeight, height, sparkBar-1, height)
		} else {
			sparkRect(&all, x, height)
		}
		if hours[i].Failed > 0 {
			sparkRect(&bad, x, max(2, hours[i].Failed*sparkHeight/most))
		}
	}
	s.Ended, s.Failed = all.String(), bad.String()
	s.Says = p.T("%s, last 24 hours. Ended: %d. Failed: %d. Most in one hour: %d. This hour so far: %d.", name, ended, failed, most, hours[len(hours)-1].Ended())
	return s
}

func sparkRect(path *strings.Builder, x, height int) {
	fmt.Fprintf(path, "M%d %dv-%dh%dv%dz", x, sparkHeight, height, sparkBar, height)
}

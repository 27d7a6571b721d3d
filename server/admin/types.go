package admin

import (
	"errors"
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
)

type typesPage struct {
	layout
	Types   []typeLine
	Figures bool // how the types have fared is known
}

// typeLine is one registered name.
type typeLine struct {
	queue.TaskInfo
	TimeLimit string // empty: the executor's default
	Limits    []string
	Fares     *fares // nil: unknown
	Page      string // address of its page
	Form      string // address of its form
}

// types lists the registered names, with the limits that concern them.
func (h *handler) types(v *visit) error {
	limits, err := h.Client.Limits(v.r.Context())
	if err != nil && !errors.Is(err, queue.ErrUnsupported) {
		return err
	}
	stats, err := h.stats.lookAtFigures(v.r.Context(), v.now)
	if err != nil {
		return err
	}
	page := typesPage{layout: h.layout(v, v.t("Task types"), "/types"), Figures: stats.Figures != nil}
	page.Every, page.Again = 60, stats.Figured && stats.Figures == nil
	fared := stats.Figures.ofTypes(v.p, h.names)
	for _, info := range h.Client.Registry().Tasks() {
		line := typeLine{TaskInfo: info, Page: h.link("/types/" + info.Name)}
		line.Form, line.Fares = line.Page+"#enqueue", fared[subject{Task: info.Name}]
		if info.Timeout > 0 {
			line.TimeLimit = v.p.Span(info.Timeout)
		}
		for _, l := range limits {
			if l.Name == info.Name && l.Kind != queue.LimitQueue || l.Name == info.Queue && l.Kind == queue.LimitQueue {
				line.Limits = append(line.Limits, v.t("Limit of %s: %s.", h.limited(queue.LimitUse{Limit: l}), limitMeans(v.p, l)))
			}
		}
		page.Types = append(page.Types, line)
	}
	return h.render(v, http.StatusOK, "types", page)
}

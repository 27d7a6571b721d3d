package admin

import (
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
)

type typesPage struct {
	layout
	Types []typeLine
}

// typeLine is one registered name.
type typeLine struct {
	queue.TaskInfo
	TimeLimit string // empty: the executor's default
	Form      string // address of its form
	List      string // address of its tasks
}

// types lists the registered names, which asks the database nothing.
func (h *handler) types(v *visit) error {
	page := typesPage{layout: h.layout(v, "Task types", "/types")}
	for _, info := range h.Client.Registry().Tasks() {
		line := typeLine{TaskInfo: info, Form: h.link("/types/" + info.Name), List: h.link("/tasks", "task", info.Name)}
		if info.Timeout > 0 {
			line.TimeLimit = span(info.Timeout)
		}
		page.Types = append(page.Types, line)
	}
	return h.render(v, http.StatusOK, "types", page)
}

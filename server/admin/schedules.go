package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// What the page of one schedule shows.
const (
	nextTimes   = 5
	historySize = 50
)

// scheduleLine is one schedule, with the address of its page.
type scheduleLine struct {
	*queue.Schedule
	URL, LastURL string
	Unknown      bool // the task's name is not registered here
	Late         bool
	Arguments    string
}

type schedulesPage struct {
	layout
	Schedules []scheduleLine
	Form      scheduleForm
}

// scheduleForm is the form of a schedule that is made at run time.
type scheduleForm struct {
	Name, Task, Spec, Zone, Args string
	CatchUp, Overlap             string
	Tasks                        []string
	Wrong                        string // why it was refused
}

func (h *handler) schedules(v *visit) error {
	form := scheduleForm{Zone: "UTC", Args: "null", CatchUp: "one", Overlap: "allow"}
	if name := v.r.URL.Query().Get("change"); name != "" {
		s, err := h.Client.Schedule(v.r.Context(), name)
		if err != nil {
			return scheduleError(err)
		}
		if h.changeable(s) {
			form = scheduleForm{
				Name: s.Name, Task: s.Task, Spec: s.Spec, Zone: s.Zone, Args: string(s.Args), CatchUp: string(s.CatchUp), Overlap: string(s.Overlap),
			}
		}
	}
	return h.schedulesPage(v, http.StatusOK, form)
}

// changeable reports whether the form can be filled in from a schedule: not without its
// arguments, which a save would lose.
func (h *handler) changeable(s *queue.Schedule) bool {
	return !s.InCode() && !h.Redact(s.Task) && s.Unreadable == ""
}

func (h *handler) schedulesPage(v *visit, status int, form scheduleForm) error {
	all, err := h.Client.Schedules(v.r.Context())
	if err != nil {
		return scheduleError(err)
	}
	page := schedulesPage{layout: h.layout(v, "Schedules", "/schedules"), Form: form}
	for _, info := range h.Client.Registry().Tasks() {
		page.Form.Tasks = append(page.Form.Tasks, info.Name)
	}
	for _, s := range all {
		page.Schedules = append(page.Schedules, h.scheduleLine(s, v.now))
	}
	return h.render(v, status, "schedules", page)
}

func (h *handler) scheduleLine(s *queue.Schedule, now time.Time) scheduleLine {
	line := scheduleLine{
		Schedule: s, URL: h.link("/schedules/" + s.Name), Unknown: !h.registered(s.Task), Arguments: string(s.Args),
		Late: problems.Late(s, now),
	}
	switch {
	case h.Redact(s.Task):
		line.Arguments = "redacted"
	case s.Unreadable != "":
		line.Arguments = "encrypted"
	}
	if s.LastTaskID != uuid.Nil {
		line.LastURL = h.link("/tasks/" + s.LastTaskID.String())
	}
	return line
}

// Local is a time in the zone of the schedule.
func (l scheduleLine) Local(t time.Time) string {
	zone, err := time.LoadLocation(l.Zone)
	if err != nil || t.IsZero() {
		return ""
	}
	return t.In(zone).Format("Mon 2006-01-02 15:04:05 MST")
}

type schedulePage struct {
	layout
	scheduleLine
	Next        []time.Time
	History     []occurrenceLine
	OptionLines []api.ScheduleOption
	Change      string // address of the form; empty: it cannot be changed there
	Deletable   bool
}

// occurrenceLine is one occurrence, with the address of its task.
type occurrenceLine struct {
	queue.Occurrence
	URL   string
	Error string
}

// schedule shows one schedule, its next times and its history.
func (h *handler) schedule(v *visit) error {
	s, err := h.Client.Schedule(v.r.Context(), v.rest)
	if err != nil {
		return scheduleError(err)
	}
	occurrences, err := h.Client.Occurrences(v.r.Context(), s.Name, historySize)
	if err != nil {
		return err
	}
	page := schedulePage{
		layout: h.layout(v, "Schedule "+s.Name, "/schedules"), scheduleLine: h.scheduleLine(s, v.now), Next: s.Times(v.now, nextTimes),
		Deletable: h.Client.CanDeleteSchedule(s),
	}
	body := api.ScheduleOf(s)
	page.OptionLines = body.List()
	if h.changeable(s) {
		page.Change = h.link("/schedules", "change", s.Name) + "#change"
	}
	page.Every = 10
	for _, o := range occurrences {
		line := occurrenceLine{Occurrence: o, Error: clip(o.ErrorText, 200)}
		if o.TaskID != uuid.Nil {
			line.URL = h.link("/tasks/" + o.TaskID.String())
		}
		page.History = append(page.History, line)
	}
	return h.render(v, http.StatusOK, "schedule", page)
}

// putSchedule makes or replaces a schedule.
func (h *handler) putSchedule(v *visit) error {
	value := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	form := scheduleForm{
		Name: value("name"), Task: value("task"), Spec: value("spec"), Zone: value("zone"), Args: value("args"),
		CatchUp: value("catch_up"), Overlap: value("overlap"),
	}
	if form.Args == "" {
		form.Args = "null"
	}
	if !json.Valid([]byte(form.Args)) {
		form.Wrong = "The arguments are not JSON."
		return h.schedulesPage(v, http.StatusBadRequest, form)
	}
	made, created, err := h.Client.PutSchedule(v.r.Context(), queue.ScheduleRequest{
		Name: form.Name, Task: form.Task, Spec: form.Spec, Zone: form.Zone, Args: json.RawMessage(form.Args),
		CatchUp: queue.CatchUp(form.CatchUp), Overlap: queue.Overlap(form.Overlap), Actor: v.person.Name, Keep: true,
	})
	if errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrScheduleInCode) {
		form.Wrong = err.Error()
		return h.schedulesPage(v, http.StatusBadRequest, form)
	}
	if err != nil {
		return scheduleError(err)
	}
	done := "changed"
	if created {
		done = "made"
	}
	text := fmt.Sprintf("Schedule %s is %s.", form.Name, done)
	switch {
	case made.Kept:
		text += " The options of its tasks are kept."
	case !created:
		text += " Its task is another one, so the options are those of that task."
	}
	if !created && made.Paused() {
		text += " It stays paused."
	}
	if len(made.Warnings) > 0 {
		text += " The task ignores some of its arguments: " + clip(strings.Join(made.Warnings, "; "), maxNotice)
	}
	h.leaveNotice(v, notice{Text: text, Good: len(made.Warnings) == 0})
	v.redirect(h.link("/schedules/" + form.Name))
	return nil
}

// actOnSchedule pauses, resumes, runs or deletes a schedule.
func (h *handler) actOnSchedule(v *visit) error {
	name, ctx, actor := v.r.PostFormValue("name"), v.r.Context(), v.person.Name
	actions := map[string]func(context.Context) (string, error){
		"pause": func(ctx context.Context) (string, error) {
			_, err := h.Client.PauseSchedule(ctx, name, actor)
			return "is paused", err
		},
		"resume": func(ctx context.Context) (string, error) {
			_, err := h.Client.ResumeSchedule(ctx, name, actor)
			return "is resumed", err
		},
		"run": func(ctx context.Context) (string, error) {
			_, err := h.Client.RunSchedule(ctx, name, actor)
			return "was enqueued once", err
		},
		"delete": func(ctx context.Context) (string, error) {
			return "is deleted", h.Client.DeleteSchedule(ctx, name, actor)
		},
	}
	act := actions[v.r.PostFormValue("do")]
	if act == nil {
		return &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("Actions on schedules are pause, resume, run and delete.")}
	}
	done, err := act(ctx)
	if err != nil {
		return scheduleError(err)
	}
	h.stats.forget()
	h.leaveNotice(v, notice{Text: fmt.Sprintf("Schedule %s %s.", name, done), Good: true})
	to := "/schedules/" + name
	if v.r.PostFormValue("do") == "delete" {
		to = "/schedules"
	}
	v.redirect(h.link(to))
	return nil
}

// scheduleError is an error about schedules as a page shows it.
func scheduleError(err error) error {
	switch {
	case errors.Is(err, queue.ErrNoSchedule):
		return &pageError{http.StatusNotFound, lang.M("No such schedule"), lang.M("No schedule has this name. It may have been deleted.")}
	case errors.Is(err, queue.ErrScheduleInCode):
		return &pageError{http.StatusConflict, lang.M("The code defines it"), lang.M("This schedule is defined in a program's code: change it there. It can be paused, resumed and run here.")}
	case errors.Is(err, queue.ErrUnsupported):
		return &pageError{http.StatusNotImplemented, lang.M("No schedules here"), lang.M("The store of this program cannot keep schedules.")}
	}
	return err
}

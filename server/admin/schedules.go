package admin

import (
	"context"
	"encoding/json"
	"errors"
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
	Redacted     bool // Arguments are hidden
	Arguments    string
	printer      *lang.Printer
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
	CatchUps, Overlaps           []choice
	Tasks                        []string
	Wrong                        string // why it was refused
}

// choice is an option of a select.
type choice struct {
	Value    string
	Name     lang.Text
	Selected bool
}

// missed are the values of [queue.CatchUp] in words.
func missed(selected queue.CatchUp) []choice {
	return []choice{
		{"one", lang.M("enqueue once"), selected == queue.CatchUpOne}, {"skip", lang.M("skip"), selected == queue.CatchUpSkip},
		{"all", lang.M("enqueue each"), selected == queue.CatchUpAll},
	}
}

// overlapping are the values of [queue.Overlap] in words.
func overlapping(selected queue.Overlap) []choice {
	return []choice{{"allow", lang.M("enqueue anyway"), selected == queue.OverlapAllow}, {"skip", lang.M("skip"), selected == queue.OverlapSkip}}
}

// chosen is the name of the choice that is selected.
func chosen(choices []choice) lang.Text {
	for _, c := range choices {
		if c.Selected {
			return c.Name
		}
	}
	return lang.Text{}
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
	page := schedulesPage{layout: h.layout(v, v.t("Schedules"), "/schedules"), Form: form}
	page.Form.CatchUps, page.Form.Overlaps = missed(queue.CatchUp(form.CatchUp)), overlapping(queue.Overlap(form.Overlap))
	for _, info := range h.Client.Registry().Tasks() {
		page.Form.Tasks = append(page.Form.Tasks, info.Name)
	}
	for _, s := range all {
		page.Schedules = append(page.Schedules, h.scheduleLine(v, s))
	}
	return h.render(v, status, "schedules", page)
}

func (h *handler) scheduleLine(v *visit, s *queue.Schedule) scheduleLine {
	line := scheduleLine{
		Schedule: s, URL: h.link("/schedules/" + s.Name), Unknown: !h.registered(s.Task), Arguments: string(s.Args),
		Late: problems.Late(s, v.now), Redacted: h.Redact(s.Task), printer: v.p,
	}
	if line.Redacted || s.Unreadable != "" {
		line.Arguments = ""
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
	return onWeekday(l.printer, t.In(zone), "2006-01-02 15:04:05 MST")
}

type schedulePage struct {
	layout
	scheduleLine
	Next        []time.Time
	History     []occurrenceLine
	OptionLines []api.ScheduleOption
	Change      string    // address of the form; empty: it cannot be changed there
	Missed      lang.Text // what is done about missed times
	Overlapping lang.Text // and while a task is unfinished
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
		layout: h.layout(v, v.t("Schedule %s", s.Name), "/schedules"), scheduleLine: h.scheduleLine(v, s), Next: s.Times(v.now, nextTimes),
		Missed: chosen(missed(s.CatchUp)), Overlapping: chosen(overlapping(s.Overlap)), Deletable: h.Client.CanDeleteSchedule(s),
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
		form.Wrong = v.t("The arguments are not JSON.")
		return h.schedulesPage(v, http.StatusBadRequest, form)
	}
	made, created, err := h.Client.PutSchedule(v.r.Context(), queue.ScheduleRequest{
		Name: form.Name, Task: form.Task, Spec: form.Spec, Zone: form.Zone, Args: json.RawMessage(form.Args),
		CatchUp: queue.CatchUp(form.CatchUp), Overlap: queue.Overlap(form.Overlap), Actor: v.person.Name, Keep: true,
	})
	if errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrScheduleInCode) {
		form.Wrong = v.p.Text(verbatim(err.Error()))
		return h.schedulesPage(v, http.StatusBadRequest, form)
	}
	if err != nil {
		return scheduleError(err)
	}
	said := []string{v.t("Schedule %s is created.", form.Name)}
	if !created {
		said[0] = v.t("Schedule %s is changed.", form.Name)
	}
	switch {
	case made.Kept:
		said = append(said, v.t("The options of its tasks are kept."))
	case !created:
		said = append(said, v.t("Its task is a different one, so its options are that task's defaults."))
	}
	if !created && made.Paused() {
		said = append(said, v.t("It stays paused."))
	}
	if len(made.Warnings) > 0 {
		said = append(said, v.t("The task ignores some of its arguments: %s", clip(strings.Join(made.Warnings, "; "), maxQuoted)))
	}
	h.leaveNotice(v, notice{Text: lang.Sentences(said...), Good: len(made.Warnings) == 0})
	v.redirect(h.link("/schedules/" + form.Name))
	return nil
}

// actOnSchedule pauses, resumes, runs or deletes a schedule.
func (h *handler) actOnSchedule(v *visit) error {
	name, ctx, actor := v.r.PostFormValue("name"), v.r.Context(), v.person.Name
	actions := map[string]func(context.Context) (string, error){
		"pause": func(ctx context.Context) (string, error) {
			_, err := h.Client.PauseSchedule(ctx, name, actor)
			return v.t("Schedule %s is paused.", name), err
		},
		"resume": func(ctx context.Context) (string, error) {
			_, err := h.Client.ResumeSchedule(ctx, name, actor)
			return v.t("Schedule %s is resumed.", name), err
		},
		"run": func(ctx context.Context) (string, error) {
			_, err := h.Client.RunSchedule(ctx, name, actor)
			return v.t("The task of schedule %s was enqueued once.", name), err
		},
		"delete": func(ctx context.Context) (string, error) {
			return v.t("Schedule %s is deleted.", name), h.Client.DeleteSchedule(ctx, name, actor)
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
	h.leaveNotice(v, notice{Text: done, Good: true})
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
		return &pageError{http.StatusConflict, lang.M("Defined in code"), lang.M("This schedule is defined in the code of a program: change it there. Here it can be paused, resumed and run.")}
	case errors.Is(err, queue.ErrUnsupported):
		return &pageError{http.StatusNotImplemented, lang.M("Schedules are not supported"), lang.M("The store of this program does not support schedules.")}
	}
	return err
}

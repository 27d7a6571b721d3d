package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/timearg"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/argform"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// enqueuePage is the form to enqueue a task.
type enqueuePage struct {
	layout
	Info     queue.TaskInfo
	From     string // ID of the task that it repeats
	FromURL  string
	Redacted bool // the arguments of that task may not be shown
	Sealed   bool // they could not be decrypted
	ID       string
	Fields   enqueueFields
	Form     *argform.Form     // of the arguments; nil: they are edited as JSON
	HasForm  bool              // they can be edited in a form
	Wrong    map[string]string // by field; "" is the whole form
	List     string
	Strict   bool // unknown fields are refused
}

// enqueueFields are the fields of the form as they were typed.
type enqueueFields struct {
	Args, Queue, Backend, Priority, When, Key, For string
}

// enqueueAgain shows the form of a registered name, filled with an earlier task.
func (h *handler) enqueueAgain(v *visit, info queue.TaskInfo, from string) error {
	id, err := uuid.Parse(from)
	if err != nil {
		return queue.ErrNotFound
	}
	row, err := h.Client.Get(v.r.Context(), id)
	if err != nil {
		return err
	}
	page, err := h.newEnqueuePage(v, info)
	if err != nil {
		return err
	}
	page.fill(h, row)
	return h.render(v, http.StatusOK, "enqueue", page)
}

// newEnqueuePage is an empty form with the name's defaults. Its ID becomes the task's, so that sending it
// twice enqueues one task.
func (h *handler) newEnqueuePage(v *visit, info queue.TaskInfo) (*enqueuePage, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	page := &enqueuePage{
		layout: h.layout(v, v.t("Enqueue %s", info.Name), "/types"), Info: info, ID: id.String(), Form: argform.New(argschema.Of(info.Args), v.p),
		Wrong: map[string]string{}, List: h.link("/tasks", "task", info.Name), Strict: info.StrictArgs || h.Client.StrictArgs(),
		Fields: enqueueFields{Args: "{}", Queue: info.Queue, Backend: info.Backend, Priority: strconv.Itoa(info.Priority)},
	}
	page.HasForm = page.Form != nil
	return page, nil
}

// fill takes over what an earlier task had.
func (p *enqueuePage) fill(h *handler, row *queue.Row) {
	p.From, p.FromURL = row.ID.String(), h.link("/tasks/"+row.ID.String())
	p.Fields.Queue, p.Fields.Priority = row.Queue, strconv.Itoa(row.Priority)
	if h.Client.HasBackend(row.Backend) {
		p.Fields.Backend = row.Backend
	}
	p.Sealed = row.ArgsSealed()
	if p.Redacted = h.hidesArgs(row) && !p.Sealed; !p.Redacted && !p.Sealed && h.names[row.Task] == p.Info.Name {
		p.Fields.Args = pretty(row.Args, true).Text
		if p.HasForm && !p.Form.Fill(row.Args) {
			p.Form = nil
		}
	}
}

// info describes a registered name.
func (h *handler) info(name string) (queue.TaskInfo, error) {
	for _, info := range h.Client.Registry().Tasks() {
		if info.Name == name {
			return info, nil
		}
	}
	return queue.TaskInfo{}, &pageError{http.StatusNotFound, lang.M("No such task type"), lang.M("No task named %.200q is registered in this program.", name)}
}

// enqueue stores what the form says, or shows it again with what is wrong.
func (h *handler) enqueue(v *visit) error {
	info, err := h.info(v.r.PostFormValue("task"))
	if err != nil {
		return err
	}
	page, err := h.newEnqueuePage(v, info)
	if err != nil {
		return err
	}
	page.Nav, page.Self = "/types", h.link("/types/"+info.Name)
	page.read(v.r)
	id, err := uuid.Parse(v.r.PostFormValue("id"))
	if err == nil {
		page.ID = id.String()
	} else {
		id = uuid.MustParse(page.ID)
	}
	if do := v.r.PostFormValue("do"); do != "" {
		if !page.edit(do) {
			return &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("The form has no such button.")}
		}
		return h.render(v, http.StatusOK, "enqueue", page)
	}
	options := page.options()
	var conflict *queue.IDConflictError
	if len(page.Wrong) == 0 {
		handle, err := api.Enqueue(v.r.Context(), h.Client, queue.Request{Task: info.Name, Args: json.RawMessage(page.Fields.Args), Options: append(options, queue.WithID(id))})
		switch {
		case err == nil:
			return h.enqueued(v, handle)
		case errors.As(err, &conflict) && conflict.KeyID != "":
			page.Wrong[""] = v.p.Text(verbatim(capitalized(conflict.Error()) + "."))
		case errors.Is(err, queue.ErrIDConflict):
			page.Wrong[""] = v.t("This form was already sent with other arguments, and that task is stored. Open a new form to enqueue another.")
		case errors.Is(err, queue.ErrDuplicate):
			page.Wrong[""] = v.p.Text(verbatim(capitalized(err.Error()) + "."))
		case errors.Is(err, queue.ErrInvalid), errors.Is(err, queue.ErrBacklogFull):
			page.refused(err.Error())
		default:
			return err
		}
	}
	return h.render(v, http.StatusUnprocessableEntity, "enqueue", page)
}

// enqueued records the user in the audit log, and shows the task.
func (h *handler) enqueued(v *visit, handle *queue.Handle) error {
	h.stats.forget()
	shown := notice{Text: v.t("Enqueued. The task is stored, and its ticket is being delivered."), Good: true}
	switch {
	case handle.Existed:
		shown.Text = v.t("It was already enqueued: this is the task.")
	case handle.Row.DispatchError != "":
		shown = notice{Text: v.t("Enqueued. Its ticket could not be created; the sweeper retries.")}
	}
	if len(handle.Warnings) > 0 {
		shown = notice{Text: lang.Sentences(shown.Text, v.t("The task ignores some of its arguments: %s", clip(strings.Join(handle.Warnings, "; "), maxQuoted)))}
	}
	if !handle.Existed {
		if err := h.Client.RecordAudit(v.r.Context(), v.person.Name, "enqueue", handle.ID, handle.Row.Task); err != nil {
			h.Logger.Error("an enqueue is missing in the audit log", "task_id", handle.ID, "actor", v.person.Name, "error", err)
		}
	}
	h.leaveNotice(v, shown)
	v.redirect(h.link("/tasks/" + handle.ID.String()))
	return nil
}

// options returns the settings of the form besides the arguments; problems, also of the
// arguments, are noted at their fields.
func (p *enqueuePage) options() (options []queue.Option) {
	p.checkArgs()
	if p.Fields.Queue != "" {
		options = append(options, queue.OnQueue(p.Fields.Queue))
	}
	if p.Fields.Backend != "" {
		options = append(options, queue.OnBackend(p.Fields.Backend))
	}
	if text := p.Fields.Priority; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			p.Wrong["priority"] = p.p.T("Enter a whole number from -100 to 100.")
		}
		options = append(options, queue.Priority(n))
	}
	if text := p.Fields.When; text != "" {
		if wait, ok := timearg.Span(text); ok {
			options = append(options, queue.Delay(wait))
		} else if at, ok := timearg.Time(text); ok {
			options = append(options, queue.RunAfter(at))
		} else {
			p.Wrong["when"] = p.p.T("Enter how long to wait (90s, 15m, 2h, 3d) or a time in UTC, such as %s.", time.Now().UTC().Add(time.Hour).Format("2006-01-02 15:04"))
		}
	}
	return append(options, p.unique()...)
}

// unique returns the option for the key, if there is one.
func (p *enqueuePage) unique() []queue.Option {
	var given api.Unique
	if p.Fields.Key != "" {
		given.Key = &p.Fields.Key
	}
	if p.Fields.For != "" {
		given.For = &p.Fields.For
	}
	option, err := given.Option("unique_key", "unique_for", "")
	switch {
	case err != nil && given.Key == nil:
		p.Wrong["key"] = p.p.T("Enter a unique key, or do not say how long it is held.")
	case len(p.Fields.Key) > queue.MaxUniqueKey:
		p.Wrong["key"] = p.p.T("Use at most %d bytes.", queue.MaxUniqueKey)
	case err != nil:
		p.Wrong["for"] = p.p.T("Enter %s, %s or a length of time such as %s.", "unfinished", "kept", "1h")
	case option != nil:
		return []queue.Option{option}
	}
	return nil
}

// maxQuoted bounds what a notice quotes of errors and warnings, in bytes.
const maxQuoted = 1000

// wrongField returns the field of the form that the text of a refusal begins with.
func wrongField(refusal string) string {
	for _, f := range []struct{ says, field string }{
		{"args", "args"}, {"queue_name", "queue"}, {"backend_name", "backend"}, {"priority", "priority"}, {"run_after", "when"}, {"delay", "when"}, {"unique_key", "key"}, {"UniqueBy", "key"},
	} {
		if strings.HasPrefix(refusal, f.says) {
			return f.field
		}
	}
	return ""
}

// capitalized makes the first letter of a sentence a capital.
func capitalized(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[n:]
}

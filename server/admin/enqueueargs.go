package admin

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/argform"
)

// The edits that change how the arguments are edited.
const (
	editAsJSON = "json"
	editAsForm = "form"
)

// read takes over what was typed. The arguments are in a form, if the page says so, or JSON.
func (p *enqueuePage) read(r *http.Request) {
	typed := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	p.Fields = enqueueFields{
		Args: r.PostFormValue("args"), Queue: typed("queue"), Backend: r.PostFormValue("backend"),
		Priority: typed("priority"), When: typed("when"), Key: r.PostFormValue("key"), For: typed("for"),
	}
	if p.HasForm && r.PostFormValue("as") == editAsForm {
		p.Form.Read(r.PostForm)
		return
	}
	p.Form = nil
}

// checkArgs makes the arguments of the form, or checks the JSON.
func (p *enqueuePage) checkArgs() {
	if p.Form == nil {
		if problem := argform.BadJSON(p.Fields.Args); !problem.IsEmpty() {
			p.Wrong["args"] = p.p.Text(problem)
		}
		return
	}
	args := p.Form.Args()
	switch {
	case p.Form.Large:
		p.Wrong["args"] = p.p.T("The form has more fields than it can show. Edit the arguments as JSON.")
	case p.Form.Wrong:
		p.Wrong["form"] = "wrong"
	}
	p.Fields.Args = string(args)
}

// edit changes the form without enqueuing anything, and reports whether it has such an edit.
func (p *enqueuePage) edit(do string) bool {
	switch {
	case do == editAsForm && p.HasForm:
		p.asForm()
	case do == editAsJSON && p.HasForm:
		if p.Form != nil {
			if p.checkArgs(); len(p.Wrong) == 0 {
				p.Fields.Args, p.Form = pretty(json.RawMessage(p.Fields.Args), true).Text, nil
			}
		}
	default:
		return p.Form != nil && p.Form.Edit(do)
	}
	return true
}

// asForm edits what is JSON in the form.
func (p *enqueuePage) asForm() {
	if p.Form != nil {
		return
	}
	if p.checkArgs(); len(p.Wrong) > 0 {
		return
	}
	if form := argform.New(argschema.Of(p.Info.Args), p.p); form.Fill(json.RawMessage(p.Fields.Args)) {
		p.Form = form
		return
	}
	p.Wrong["args"] = p.p.T("These arguments do not fit the form: a member has another type than the schema says, or the form would be too large.")
}

// refused notes a refusal at the field that it is about.
func (p *enqueuePage) refused(refusal string) {
	field := wrongField(refusal)
	if field == "args" && p.Form != nil {
		text, _ := strings.CutPrefix(refusal, "args of "+p.Info.Name+": ")
		if path, problem, ok := strings.Cut(text, ": "); ok && p.Form.Refused(path, capitalized(problem)+".") {
			p.Wrong["form"] = "wrong"
			return
		}
	}
	p.Wrong[field] = p.p.Text(verbatim(capitalized(refusal)))
}

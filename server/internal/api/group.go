package api

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// GroupBody is one group in an answer.
type GroupBody struct {
	*queue.Group
	State     queue.GroupState `json:"state"`
	OnSuccess *GroupEnd        `json:"on_success,omitempty"`
	OnFailure *GroupEnd        `json:"on_failure,omitempty"`
}

// GroupEnd is a task that a group enqueues, under this ID.
type GroupEnd struct {
	ID    uuid.UUID `json:"id"`
	Task  string    `json:"task_path"`
	Queue string    `json:"queue_name"`
}

// Bodies of answers about groups.
type (
	// GroupAnswer is the answer of groups about one.
	GroupAnswer struct {
		Group   GroupBody `json:"group"`
		Existed bool      `json:"existed,omitempty"`
	}
	// GroupsAnswer is a page of groups.
	GroupsAnswer struct {
		Groups []GroupBody `json:"groups"`
		Next   string      `json:"next,omitempty"`
	}
	// CancelGroupAnswer is what the cancellation of a group's tasks did.
	CancelGroupAnswer struct {
		Cancelled int       `json:"cancelled"`
		Locked    int       `json:"locked,omitempty"` // tasks that another transaction has locked
		More      bool      `json:"more,omitempty"`   // the time was over
		Group     GroupBody `json:"group"`
	}
)

// NewGroupBody returns a group as answers have it.
func NewGroupBody(g *queue.Group) GroupBody {
	end := func(to *queue.Completion, success bool) *GroupEnd {
		if to == nil {
			return nil
		}
		return &GroupEnd{queue.CompletionID(g.ID, success), to.Task, to.Queue}
	}
	return GroupBody{g, g.State(), end(g.OnSuccess, true), end(g.OnFailure, false)}
}

// NewGroupsAnswer returns a page of groups.
func NewGroupsAnswer(page queue.GroupsPage) GroupsAnswer {
	answer := GroupsAnswer{Groups: []GroupBody{}, Next: page.Next}
	for _, g := range page.Groups {
		answer.Groups = append(answer.Groups, NewGroupBody(g))
	}
	return answer
}

// ParseGroup reads the body of a new group. Its errors name the field.
func ParseGroup(body []byte) (spec queue.GroupSpec, err error) {
	var id, name *string
	var success, failure json.RawMessage
	if err := DecodeObject(body, map[string]any{"id": &id, "name": &name, "on_success": &success, "on_failure": &failure}); err != nil {
		return spec, err
	}
	if name != nil {
		spec.Name = *name
	}
	if id != nil {
		if spec.ID, err = ParseID(*id); err != nil || spec.ID == uuid.Nil {
			return spec, BadRequest("id must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
		}
	}
	if spec.OnSuccess, err = parseGroupEnd("on_success", success); err != nil {
		return spec, err
	}
	spec.OnFailure, err = parseGroupEnd("on_failure", failure)
	return spec, err
}

// parseGroupEnd reads what a group enqueues: part of the body of an enqueue.
func parseGroupEnd(field string, body json.RawMessage) (*queue.Request, error) {
	if len(body) == 0 || string(body) == "null" {
		return nil, nil
	}
	var task, queueName, backend *string
	var priority *int
	var args json.RawMessage
	var end ending
	err := DecodeObject(body, map[string]any{
		"task": &task, "args": &args, "queue_name": &queueName, "priority": &priority, "backend_name": &backend,
		"expires_in": &end.expiresIn, "keep_successful": &end.keepSuccessful, "keep_failed": &end.keepFailed,
	})
	if err != nil {
		return nil, BadRequest("%s: %s", field, err)
	}
	if task == nil || *task == "" {
		return nil, BadRequest("%s: task must be the name of a registered task", field)
	}
	request := &queue.Request{Task: *task, Args: args}
	if queueName != nil {
		request.Options = append(request.Options, queue.OnQueue(*queueName))
	}
	if priority != nil {
		request.Options = append(request.Options, queue.Priority(*priority))
	}
	if backend != nil {
		request.Options = append(request.Options, queue.OnBackend(*backend))
	}
	options, err := end.options()
	if err != nil {
		return nil, BadRequest("%s: %s", field, err)
	}
	request.Options = append(request.Options, options...)
	return request, nil
}

package admin

import (
	"encoding/json"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// curl is a call of the HTTP API, to be copied into a terminal.
type curl struct {
	ID, Command string
	Name        lang.Text
	Notes       []lang.Text // what the command does otherwise than its name says
}

// curlArgs bounds the arguments that are put into a command.
const curlArgs = 8 << 10

// enqueueBody is what an enqueue needs to store a task like another one.
type enqueueBody struct {
	Task           string          `json:"task"`
	Args           json.RawMessage `json:"args"`
	Queue          string          `json:"queue_name"`
	Backend        string          `json:"backend_name"`
	Priority       int             `json:"priority"`
	UniqueKey      string          `json:"unique_key,omitempty"`
	UniqueFor      string          `json:"unique_for,omitempty"`
	KeepSuccessful string          `json:"keep_successful,omitempty"`
	KeepFailed     string          `json:"keep_failed,omitempty"`
}

func enqueueBodyOf(row *queue.Row) enqueueBody {
	body := enqueueBody{Task: row.Task, Args: row.Args, Queue: row.Queue, Backend: row.Backend, Priority: row.Priority}
	if row.UniqueKey != "" {
		body.UniqueKey = row.UniqueKey
		switch {
		case !row.UniqueUntil.IsZero():
			body.UniqueFor = row.UniqueUntil.Sub(row.EnqueuedAt).String()
		case row.UniqueScope == queue.UniqueKept:
			body.UniqueFor = "kept"
		default:
			body.UniqueFor = "unfinished"
		}
	}
	if row.Keep != nil {
		body.KeepSuccessful, body.KeepFailed = row.Keep.Successful.String(), row.Keep.Failed.String()
	}
	return body
}

// curls are the calls that run a task, and that enqueue it anew. Where the API
// is, and the token, are for the reader to set: a page does not know them.
func curls(row *queue.Row, redacted, keyHeld bool) []curl {
	const post = `curl -X POST -H "Authorization: Bearer $TOKEN" `
	address := "/tasks/execute/" + row.ID.String() + "/"
	if row.Status == queue.StatusFailed {
		address += "?allow_retry=true"
	}
	var list []curl
	if !row.Dropped() || row.Status != queue.StatusFailed {
		list = append(list, curl{ID: "curl-execute", Name: lang.M("Run it within the request"), Command: post + `"$BASE_URL` + address + `"`})
	}
	if redacted || len(row.Args) > curlArgs {
		return list
	}
	body, err := json.Marshal(enqueueBodyOf(row))
	if err != nil {
		return list
	}
	return append(list, curl{ID: "curl-enqueue", Name: lang.M("Enqueue a copy"), Notes: curlNotes(row, keyHeld),
		Command: post + `-H "Content-Type: application/json" -d ` + shellQuote(escaped(string(body))) + ` "$BASE_URL/tasks/enqueue/"`})
}

// curlNotes say what the command to enqueue a task again leaves out, and what it meets.
func curlNotes(row *queue.Row, keyHeld bool) (notes []lang.Text) {
	switch runAfter, expires := !row.RunAfter.IsZero(), !row.ExpiresAt.IsZero(); {
	case runAfter && expires:
		notes = append(notes, lang.M("The copy has no run_after and no expires_at."))
	case runAfter:
		notes = append(notes, lang.M("The copy has no run_after."))
	case expires:
		notes = append(notes, lang.M("The copy has no expires_at."))
	}
	if keyHeld {
		notes = append(notes, lang.M("While this task holds its unique key, the command returns this task."))
	}
	return notes
}

// shellQuote makes any text one word of a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

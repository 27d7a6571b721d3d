package admin

import (
	"encoding/json"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// curl is a call of the HTTP API, to be copied into a terminal.
type curl struct {
	ID, Name, Command string
	Note              string // what the command does otherwise than its name says
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
		list = append(list, curl{ID: "curl-execute", Name: "Run it inside this call", Command: post + `"$BASE_URL` + address + `"`})
	}
	if redacted || len(row.Args) > curlArgs {
		return list
	}
	body, err := json.Marshal(enqueueBodyOf(row))
	if err != nil {
		return list
	}
	return append(list, curl{ID: "curl-enqueue", Name: "Enqueue the same again", Note: curlNote(row, keyHeld),
		Command: post + `-H "Content-Type: application/json" -d ` + shellQuote(escaped(string(body))) + ` "$BASE_URL/tasks/enqueue/"`})
}

// curlNote says what the command to enqueue a task again leaves out, and what it meets.
func curlNote(row *queue.Row, keyHeld bool) string {
	var without, notes []string
	if !row.RunAfter.IsZero() {
		without = append(without, "run_after")
	}
	if !row.ExpiresAt.IsZero() {
		without = append(without, "expires_at")
	}
	if len(without) > 0 {
		notes = append(notes, "Without its "+strings.Join(without, " and ")+".")
	}
	if keyHeld {
		notes = append(notes, "This task holds the unique key, so it is returned as long as it does.")
	}
	return strings.Join(notes, " ")
}

// shellQuote makes any text one word of a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

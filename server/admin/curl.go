package admin

import (
	"encoding/json"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
)

// curl is a call of the HTTP API, to be copied into a terminal.
type curl struct {
	ID, Name, Command string
}

// curlArgs bounds the arguments that are put into a command.
const curlArgs = 8 << 10

// curls are the calls that run a task, and that enqueue it anew. Where the API
// is, and the token, are for the reader to set: a page does not know them.
func curls(row *queue.Row, redacted bool) []curl {
	const post = `curl -X POST -H "Authorization: Bearer $TOKEN" `
	address := "/tasks/execute/" + row.ID.String() + "/"
	if row.Status == queue.StatusFailed {
		address += "?allow_retry=true"
	}
	var list []curl
	if !row.Dropped() || row.Status != queue.StatusFailed {
		list = append(list, curl{"curl-execute", "Run it inside this call", post + `"$BASE_URL` + address + `"`})
	}
	if redacted || len(row.Args) > curlArgs {
		return list
	}
	body, err := json.Marshal(struct {
		Task     string          `json:"task"`
		Args     json.RawMessage `json:"args"`
		Queue    string          `json:"queue_name"`
		Backend  string          `json:"backend_name"`
		Priority int             `json:"priority"`
	}{row.Task, row.Args, row.Queue, row.Backend, row.Priority})
	if err != nil {
		return list
	}
	return append(list, curl{"curl-enqueue", "Enqueue the same again",
		post + `-H "Content-Type: application/json" -d ` + shellQuote(escaped(string(body))) + ` "$BASE_URL/tasks/enqueue/"`})
}

// shellQuote makes any text one word of a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

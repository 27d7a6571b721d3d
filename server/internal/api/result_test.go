package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func finishedRow() *queue.Row {
	at := time.Date(2026, 11, 23, 6, 33, 0, 120000, time.UTC)
	return &queue.Row{
		ID: uuid.MustParse("0193557c-8a4e-7d2f-9d4b-3f6c1a2b3c4d"), Status: queue.StatusSuccessful, Task: "emails.send", Queue: "default", Backend: "default",
		Attempts: 1, MaxAttempts: 10, EnqueuedAt: at, StartedAt: at, LastAttemptedAt: at, FinishedAt: at.Add(time.Second),
		ReturnValue: json.RawMessage(`{"status":200}`), WorkerIDs: []string{"host-1-abcd"},
	}
}

// encoded is what encoding/json makes of a body, as answers have it.
func encoded(t testing.TB, body any) string {
	t.Helper()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func TestAppendJSONIsWhatEncodingJSONMakes(t *testing.T) {
	bodies := map[string]executed{
		"success":       {Executed: true, Result: finishedRow()},
		"failure":       {Executed: true, Failed: true, Result: finishedRow()},
		"an empty row":  {Executed: true, Result: &queue.Row{}},
		"several words": {Executed: true, Result: &queue.Row{Task: "a <b> & c ~", WorkerIDs: []string{"a", "", "c"}, ReturnValue: json.RawMessage(" [1,\n\t\"a  <b>\u2028\"] ")}},
	}
	fields := reflect.TypeFor[queue.Row]()
	for i := range fields.NumField() {
		if fields.Field(i).Tag.Get("json") == "-" {
			continue
		}
		name := fields.Field(i).Name
		row := &queue.Row{}
		switch field := reflect.ValueOf(row).Elem().Field(i).Addr().Interface().(type) {
		case *string:
			*field = "text"
		case *queue.Status:
			*field = queue.StatusFailed
		case *int:
			*field = -42
		case *uuid.UUID:
			*field = uuid.New()
		case *time.Time:
			*field = time.Now()
		case *json.RawMessage:
			*field = json.RawMessage(`null`)
		case *[]string:
			*field = []string{"one", "two"}
		case **queue.TaskProgress:
			*field = &queue.TaskProgress{Done: 3, Total: 40}
		case *[]queue.AttemptError:
			*field = []queue.AttemptError{}
		default:
			t.Fatalf("the test has no value for the field %s", name)
		}
		bodies[name] = executed{Executed: true, Result: row}
	}
	for name, body := range bodies {
		got, ok := body.AppendJSON([]byte("before"))
		if want := "before" + encoded(t, body); !ok || string(got) != want {
			t.Errorf("%s: %t\n%s\n%s", name, ok, got, want)
		}
	}
}

func TestAppendJSONLeavesTheRestToEncodingJSON(t *testing.T) {
	for name, change := range map[string]func(*queue.Row){
		"a quote":                           func(r *queue.Row) { r.Task = `a"b` },
		"a backslash":                       func(r *queue.Row) { r.Queue = `a\b` },
		"a control":                         func(r *queue.Row) { r.Backend = "a\nb" },
		"a letter":                          func(r *queue.Row) { r.WorkerIDs = []string{"naïve"} },
		"no UTF-8":                          func(r *queue.Row) { r.DispatchError = "\xff" },
		"errors":                            func(r *queue.Row) { r.Errors = []queue.AttemptError{{Message: "m"}} },
		"a value":                           func(r *queue.Row) { r.ReturnValue = json.RawMessage(`{`) },
		"a time without a name in RFC 3339": func(r *queue.Row) { r.FinishedAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		row := finishedRow()
		change(row)
		if got, ok := (executed{Executed: true, Result: row}).AppendJSON(nil); ok {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, ok := (executed{}).AppendJSON(nil); ok {
		t.Error("without a row")
	}
}

func BenchmarkExecutedJSON(b *testing.B) {
	body := executed{Executed: true, Result: finishedRow()}
	b.Run("appended", func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, 1024)
		for b.Loop() {
			if _, ok := body.AppendJSON(buffer); !ok {
				b.Fatal(errors.New("not appended"))
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = encoded(b, body)
		}
	})
}

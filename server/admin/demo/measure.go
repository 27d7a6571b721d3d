package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// measured is one page.
type measured struct {
	path   string
	status int
	first  time.Duration // nothing about it was known
	later  []time.Duration
	bytes  int // as sent to a browser, compressed
}

// measure requests every page of new handlers, first and then again, and prints what it took.
func measure(ctx context.Context, operator queue.Operator, pages func() (http.Handler, error)) error {
	paths, err := addresses(ctx, operator)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "page\tstatus\tfirst ms\tmedian ms\tmost ms\tbytes")
	for _, path := range paths {
		m := measured{path: path}
		// Each handler is a process that has just started, and knows nothing.
		for range 3 {
			handler, err := pages()
			if err != nil {
				return err
			}
			for i := range 4 {
				took, err := m.visit(ctx, handler)
				if err != nil {
					return err
				}
				if i == 0 {
					m.first = max(m.first, took)
				} else {
					m.later = append(m.later, took)
				}
			}
		}
		slices.Sort(m.later)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%.1f\t%d\n", path, m.status, ms(m.first), ms(m.later[len(m.later)/2]), ms(m.later[len(m.later)-1]), m.bytes)
	}
	return table.Flush()
}

// visit requests the page once.
func (m *measured) visit(ctx context.Context, handler http.Handler) (time.Duration, error) {
	answer := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+m.path, nil)
	start := time.Now()
	handler.ServeHTTP(answer, request)
	took := time.Since(start)
	var size counter
	packed := gzip.NewWriter(&size)
	if _, err := io.Copy(packed, answer.Body); err != nil {
		return 0, err
	}
	if err := packed.Close(); err != nil {
		return 0, err
	}
	m.status, m.bytes = answer.Code, int(size)
	return took, nil
}

// counter counts what is written.
type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// addresses are one of each page, with the filters that are used at night.
func addresses(ctx context.Context, operator queue.Operator) ([]string, error) {
	failed, err := operator.List(ctx, queue.ListRequest{Selection: queue.Selection{View: queue.ViewFailed}, Limit: 1})
	if err != nil {
		return nil, err
	}
	paths := []string{
		"/admin/", "/admin/tasks", "/admin/tasks?view=pending", "/admin/tasks?view=delayed", "/admin/tasks?view=running", "/admin/tasks?view=failed",
		"/admin/tasks?view=successful", "/admin/tasks?stranded=1", "/admin/tasks?task=emails.*", "/admin/tasks?view=failed&error=timeout",
		"/admin/confirm?view=failed&all=retry", "/admin/queues", "/admin/schedules", "/admin/groups", "/admin/types", "/admin/types/billing.charge_card",
		"/admin/workers", "/admin/audit",
	}
	for _, row := range failed.Rows {
		paths = append(paths, "/admin/tasks/"+row.ID.String())
	}
	return paths, nil
}

package main

import (
	"bytes"
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
	whole  time.Duration // from then until a visit had all parts of the page
	later  []time.Duration
	bytes  int  // as sent to a browser, compressed
	again  bool // some parts are not known yet: the page reloads at once
}

// measure requests every page of new handlers, first and then again, and prints what it took.
func measure(ctx context.Context, operator queue.Operator, pages func() (http.Handler, error)) error {
	paths, err := addresses(ctx, operator)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "page\tstatus\tfirst ms\twhole ms\tmedian ms\tmost ms\tbytes")
	for _, path := range paths {
		m := measured{path: path}
		// Each handler is a process that has just started, and knows nothing.
		for range 3 {
			handler, err := pages()
			if err != nil {
				return err
			}
			if err := m.visits(ctx, handler); err != nil {
				return err
			}
		}
		slices.Sort(m.later)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\n", path, m.status, ms(m.first), ms(m.whole), ms(m.later[len(m.later)/2]), ms(m.later[len(m.later)-1]), m.bytes)
	}
	return table.Flush()
}

// How long a page is reloaded for what it does not know yet, and after what time each.
const (
	wholeWithin = time.Minute
	reloadAfter = 100 * time.Millisecond
)

// visits requests the page of a new handler: first, then until it is whole, and three times
// more.
func (m *measured) visits(ctx context.Context, handler http.Handler) error {
	start := time.Now()
	took, err := m.visit(ctx, handler)
	m.first = max(m.first, took)
	for err == nil && m.again {
		if time.Since(start) > wholeWithin {
			return fmt.Errorf("%s is not whole after %v", m.path, wholeWithin)
		}
		time.Sleep(reloadAfter)
		_, err = m.visit(ctx, handler)
	}
	m.whole = max(m.whole, time.Since(start))
	for range 3 {
		if err != nil {
			return err
		}
		took, err = m.visit(ctx, handler)
		m.later = append(m.later, took)
	}
	return err
}

// visit requests the page once.
func (m *measured) visit(ctx context.Context, handler http.Handler) (time.Duration, error) {
	answer := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+m.path, nil)
	start := time.Now()
	handler.ServeHTTP(answer, request)
	took := time.Since(start)
	m.again = bytes.Contains(answer.Body.Bytes(), []byte(" data-again"))
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
		"/admin/confirm?view=failed&all=retry", "/admin/queues", "/admin/queues/partner", "/admin/schedules", "/admin/groups", "/admin/types", "/admin/types/billing.charge_card",
		"/admin/workers", "/admin/audit",
	}
	for _, row := range failed.Rows {
		paths = append(paths, "/admin/tasks/"+row.ID.String())
	}
	return paths, nil
}

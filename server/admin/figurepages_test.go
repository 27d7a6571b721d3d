package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// What the pages say about the last days stays when the tasks are purged.
func TestFiguresOfPagesOutliveAPurge(t *testing.T) {
	s := newNight(t, nil)
	check := func(when string) {
		t.Helper()
		for path, wants := range map[string][]string{
			"/admin/":                          {"Failed: <b>551</b>", `<caption class="hide">Failed tasks of the last 7 days by hour (UTC). Total: 551.`, ` now">`},
			"/admin/types":                     {`aria-label="billing.charge_card, last 24 hours. `, `371<span class="sub dim">9`, "none ended"},
			"/admin/types/billing.charge_card": {`aria-label="Throughput and latency of billing.charge_card"`, "p95", "since "},
			"/admin/queues/billing":            {`aria-label="Throughput and latency of billing"`, "billing, last 24 hours. "},
			"/admin/queues":                    {`aria-label="Throughput and latency of queues in the last 24 hours"`, "Percentiles of billing"},
		} {
			pages := s.anew()
			page := pages.get(path)
			for range 3 { // a first visit reads some of it
				page = pages.get(path)
			}
			for _, want := range wants {
				if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), want) {
					t.Errorf("%s %s: %d, without %s", path, when, page.Code, want)
				}
			}
		}
	}
	check("before")
	if deleted, _, err := s.client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful, queue.StatusFailed, queue.StatusCancelled}}, nil); err != nil || deleted < 800 {
		t.Fatalf("%d deleted, %v", deleted, err)
	}
	check("after a purge")
}

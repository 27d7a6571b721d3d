package doctor_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

var limits = doctor.Limits{Each: 5 * time.Second, All: 30 * time.Second}

func finds(found doctor.Finding) func(context.Context) doctor.Finding {
	return func(context.Context) doctor.Finding { return found }
}

// hangs runs until its context ends.
func hangs(ctx context.Context) doctor.Finding {
	<-ctx.Done()
	return doctor.Failf("wait", "no finding: %v", ctx.Err())
}

func quiet(doctor.Result) {}

func TestOneFaultIsOneFailingLine(t *testing.T) {
	fine := finds(doctor.Okf("fine"))
	checks := []doctor.Check{
		{Name: "database", Look: finds(doctor.Failf("start it", "it is\ndown"))},
		{Name: "schema", Needs: []string{"database"}, Look: fine},
		{Name: "sweeper", Needs: []string{"schema"}, Look: fine},
		{Name: "slow", Look: finds(doctor.Warnf("hurry", "late"))},
		{Name: "after a warning", Needs: []string{"slow", "unknown"}, Look: fine},
		{Name: "elsewhere", Skip: "not here", Look: fine},
		{Name: "after elsewhere", Needs: []string{"elsewhere"}, Look: fine},
	}
	var reported []doctor.Result
	got := doctor.Run(t.Context(), limits, checks, func(r doctor.Result) { reported = append(reported, r) })
	want := []doctor.Result{
		{Check: "database", Status: doctor.Fail, Detail: "it is down", Fix: "start it"},
		{Check: "schema", Status: doctor.Skipped, Detail: "it needs database"},
		{Check: "sweeper", Status: doctor.Skipped, Detail: "it needs schema"},
		{Check: "slow", Status: doctor.Warn, Detail: "late", Fix: "hurry"},
		{Check: "after a warning", Status: doctor.OK, Detail: "fine"},
		{Check: "elsewhere", Status: doctor.Skipped, Detail: "not here"},
		{Check: "after elsewhere", Status: doctor.Skipped, Detail: "it needs elsewhere"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(reported, got) {
		t.Errorf("reported %v", reported)
	}
	if !doctor.Failed(got) || doctor.Failed(got[1:]) {
		t.Error("Failed does not recognize failures")
	}
	if text := doctor.Summary(got); text != "1 ok, 1 to look at, 1 failed, 4 skipped" {
		t.Error(text)
	}
}

func TestIndependentChecksRunTogetherAndEachHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got := doctor.Run(t.Context(), limits, []doctor.Check{{Name: "a", Look: hangs}, {Name: "b", Look: hangs}}, quiet)
		if took := time.Since(start); took != limits.Each {
			t.Errorf("took %s", took)
		}
		if got[0].Status != doctor.Fail || got[0].Detail != "no finding: no answer within 5s" || got[0].Fix != "wait" {
			t.Errorf("%+v", got[0])
		}
	})
}

func TestACheckThatDoesNotReturnIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		got := doctor.Run(t.Context(), limits, []doctor.Check{{Name: "deaf", Look: func(context.Context) doctor.Finding {
			<-end
			return doctor.Okf("")
		}}}, quiet)
		close(end)
		if got[0].Status != doctor.Fail || got[0].Detail != "no answer within 5s: it does not return" {
			t.Errorf("%+v", got[0])
		}
	})
}

func TestAllTogetherHaveTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		limits := doctor.Limits{Each: 5 * time.Second, All: 7 * time.Second}
		warnsLate := func(ctx context.Context) doctor.Finding {
			<-ctx.Done()
			return doctor.Warnf("", "late")
		}
		got := doctor.Run(t.Context(), limits, []doctor.Check{
			{Name: "a", Look: warnsLate}, {Name: "b", Needs: []string{"a"}, Look: hangs}, {Name: "c", Needs: []string{"b"}, Look: hangs},
		}, quiet)
		if took := time.Since(start); took != limits.All {
			t.Errorf("took %s", took)
		}
		if got[1].Status != doctor.Fail || got[1].Detail != "there was no time left to run it" || got[2].Status != doctor.Skipped {
			t.Errorf("%+v", got)
		}
	})
}

func TestInterruptEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		got := doctor.Run(ctx, limits, []doctor.Check{{Name: "a", Look: hangs}, {Name: "b", Needs: []string{"a"}, Look: hangs}}, quiet)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s", took)
		}
		if got[0].Detail != "interrupted" || got[0].Status != doctor.Skipped || got[1].Status != doctor.Skipped {
			t.Errorf("%+v", got)
		}
	})
}

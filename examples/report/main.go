// Command report makes a report every night: a schedule starts a group of one task for each
// region, and when all of them have succeeded, another task sends the report. If one has
// failed for good, an alert goes out instead.
//
// "go run ." makes the report of tonight at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// The tasks. What they need is bound in reports.tasks.
var (
	StartReport  = queue.Declare[any, any]("report.start", queue.OnQueue("reports"))
	ReportRegion = queue.Declare[Part, int]("report.region", queue.OnQueue("reports"), queue.MaxAttempts(5), queue.Timeout(10*time.Minute))
	SendReport   = queue.Declare[Day, any]("report.send", queue.OnQueue("reports"))
	Alert        = queue.Declare[Day, any]("report.alert", queue.OnQueue("reports"), queue.Priority(50))
)

// Nightly starts the report at two in the morning of Berlin.
var Nightly = queue.Every("nightly-report", "0 2 * * *", StartReport, nil, queue.Zone("Europe/Berlin"), queue.OverlapSkip)

// Day is the day of a report, and Part the part of a region in it.
type (
	Day  struct{ Day string }
	Part struct{ Day, Region string }
)

// reports has the figures, and where finished reports go. A program has both in its
// database and its mail provider.
type reports struct {
	sales  map[string]int // by region
	broken map[string]int // how many reads of a region fail
	out    io.Writer
	done   chan struct{} // gets a value for each report and each alert

	mu    sync.Mutex
	parts map[Part]int
}

func (r *reports) tasks() []queue.Definition {
	return []queue.Definition{
		StartReport.HandleFunc(r.start), ReportRegion.Handle(r.region), SendReport.HandleFunc(r.send), Alert.HandleFunc(r.alert), Nightly,
	}
}

// start enqueues the parts, and what follows them. The group's ID is that of this task, and
// those of its tasks depend on it, so an attempt that is repeated only stores what is
// missing.
func (r *reports) start(ctx context.Context, _ any) error {
	info, _ := queue.InfoFrom(ctx)
	day := Day{info.EnqueuedAt.Format(time.DateOnly)}
	if !info.ScheduledFor.IsZero() {
		day.Day = info.ScheduledFor.Format(time.DateOnly)
	}
	regions := slices.Sorted(maps.Keys(r.sales))
	_, err := ReportRegion.EnqueueGroup(ctx, queue.ClientFrom(ctx), queue.GroupSpec{
		ID: uuid.NewSHA1(info.ID, []byte("parts")), Name: "report of " + day.Day,
		OnSuccess: new(SendReport.Request(day)), OnFailure: new(Alert.Request(day)),
	}, func(yield func(Part) bool) {
		for _, region := range regions {
			if !yield(Part{day.Day, region}) {
				return
			}
		}
	})
	return err
}

// region computes a part. It may run twice, and then stores the same figure.
func (r *reports) region(_ context.Context, p Part) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken[p.Region] > 0 {
		r.broken[p.Region]--
		return 0, errors.New("the figures cannot be read")
	}
	r.parts[p] = r.sales[p.Region]
	return r.parts[p], nil
}

// send sends a report, all parts of which are there.
func (r *reports) send(_ context.Context, d Day) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := 0
	fmt.Fprintln(r.out, "report:")
	for _, region := range slices.Sorted(maps.Keys(r.sales)) {
		part := r.parts[Part{d.Day, region}]
		fmt.Fprintf(r.out, "  %-6s %4d\n", region, part)
		total += part
	}
	fmt.Fprintf(r.out, "  total  %4d\n", total)
	r.done <- struct{}{}
	return nil
}

func (r *reports) alert(ctx context.Context, _ Day) error {
	info, _ := queue.InfoFrom(ctx)
	g, err := queue.ClientFrom(ctx).Group(ctx, info.Group)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "alert: no report, because %d of its %d parts failed\n", g.Failed, g.Total)
	r.done <- struct{}{}
	return nil
}

func newReports(out io.Writer) *reports {
	return &reports{
		sales:  map[string]int{"east": 120, "north": 80, "south": 200, "west": 45},
		broken: map[string]int{"north": 1}, // read again a second later
		out:    out, done: make(chan struct{}, 10), parts: make(map[Part]int),
	}
}

func main() {
	ctx := context.Background()
	r := newReports(os.Stdout)
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	check(err)
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(r.tasks()...), Logger: slog.New(slog.DiscardHandler)})
	check(err)
	schedule, err := client.Schedule(ctx, "nightly-report")
	check(err)
	fmt.Println("the schedule:", schedule.Spec, schedule.Zone)
	_, err = client.RunSchedule(ctx, schedule.Name, "go run") // else nothing happens before two in the morning
	check(err)
	<-r.done
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

package sim

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTheSameSeedIsTheSameRun(t *testing.T) {
	cfg := Default()
	cfg.Rate, cfg.Duration = 200, 10*time.Second
	first, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Run(cfg); !reflect.DeepEqual(first, again) {
		t.Errorf("%+v and then %+v", first, again)
	}
	cfg.Seed++
	if other, _ := Run(cfg); reflect.DeepEqual(first, other) {
		t.Error("another seed changes nothing")
	}
}

func TestEventsHappenInTheirOrder(t *testing.T) {
	var c clock
	var got []int
	for i := range 1000 {
		at := (i * 7919) % 100
		c.after(time.Duration(at), func() { got = append(got, at*1000+i) })
	}
	c.run(50)
	for i := 1; i < len(got); i++ {
		if got[i] < got[i-1] {
			t.Fatalf("%d came before %d", got[i-1], got[i])
		}
	}
	if len(got) != 510 || c.now != 50 {
		t.Errorf("%d events until %d", len(got), c.now)
	}
}

// A queue lets a fifth of a second go at once, and then its rate; never more than
// it may have running.
func TestCloudQueueKeepsItsRateAndItsBound(t *testing.T) {
	var c clock
	sent, answered := 0, true
	q := &cloudQueue{clock: &c, rate: 500, most: 300}
	q.deliver = func(*task) {
		sent++
		if answered {
			c.after(time.Millisecond, q.answered)
		}
	}
	c.run(10 * time.Second) // idle; no more than the burst is saved up
	for range 10_000 {
		q.add(&task{})
	}
	c.run(12 * time.Second)
	if sent < 1098 || sent > 1102 {
		t.Errorf("%d in the first two seconds, want a burst of 100 and 500 a second", sent)
	}
	answered = false
	c.run(60 * time.Second)
	if q.running != 300 {
		t.Errorf("%d are running, want 300", q.running)
	}
}

func TestNewQueuesAreFilledByTheRule(t *testing.T) {
	for after, want := range map[time.Duration]float64{0: 500, 5*time.Minute - 1: 500, 5 * time.Minute: 750, 10 * time.Minute: 1125, 90 * time.Minute: 738_945} {
		if got := RampRate(after); !near(got, want, 1e-5) {
			t.Errorf("after %s %.0f/s, want %.0f", after, got, want)
		}
	}
	for minutes, want := range map[time.Duration]float64{2: 500, 7: 750, 12: 1000} {
		cfg := Default()
		cfg.Queues, cfg.Ramp, cfg.WarmUp, cfg.Duration = 2, true, minutes*time.Minute, 20*time.Second
		result, err := Run(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !near(result.PerSecond, want, 0.02) {
			t.Errorf("minute %d: %.0f tasks/s, want %.0f", minutes, result.PerSecond, want)
		}
	}
}

// Instances are started while requests wait, no more than there may be, and those
// that wait go on when they are there.
func TestInstancesStartWhenTheyAreWanted(t *testing.T) {
	cfg := Default()
	cfg.Warm, cfg.Instances, cfg.Concurrency, cfg.Work, cfg.WorkSpread = 0, 3, 10, time.Second, Constant
	cfg.StartUp, cfg.Rate, cfg.WarmUp, cfg.Duration = 5*time.Second, 8, 0, 30*time.Second
	result, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if result.WaitP99 < 4*time.Second || result.WaitP50 > 5*time.Second || result.PerSecond < 6 {
		t.Errorf("%+v", result)
	}
	cfg.WarmUp = time.Minute
	if result, _ = Run(cfg); result.WaitP99 > 200*time.Millisecond {
		t.Errorf("a minute later one still waits %s", result.WaitP99)
	}
}

func TestConfigNamesAllThatIsWrong(t *testing.T) {
	cfg := Default()
	cfg.Queues, cfg.DBCPUs, cfg.Work, cfg.Warm = 0, -1, -1, 11
	_, err := Run(cfg)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"queues must be positive", "db-cpus must be positive", "work must not be negative", "warm is 11, but there are at most 10"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

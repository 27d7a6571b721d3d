package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// near reports whether got is within a share of want.
func near(got, want, share float64) bool { return math.Abs(got-want) <= share*math.Abs(want) }

// erlangC is the mean wait of M/M/c, in service times: how long one waits for
// the first of c servers whose work comes at random and takes random times, and
// that are busy for this share of the time.
func erlangC(servers int, busy float64) float64 {
	load := busy * float64(servers)
	sum, term := 0.0, 1.0
	for k := range servers {
		sum += term
		term *= load / float64(k+1)
	}
	term /= 1 - busy
	return term / (sum + term) / (float64(servers) * (1 - busy))
}

// A station alone is M/M/c, whose waits are known; M/D/1's are half of M/M/1's.
func TestStationWaitsAsQueueingTheorySays(t *testing.T) {
	const service = 10 * time.Millisecond
	for _, test := range []struct {
		servers int
		busy    float64
		spread  Spread
		want    float64 // mean wait in service times
	}{
		{1, 0.5, Exponential, erlangC(1, 0.5)},
		{1, 0.9, Exponential, 9},
		{4, 0.8, Exponential, erlangC(4, 0.8)},
		{20, 0.9, Exponential, erlangC(20, 0.9)},
		{1, 0.8, Constant, 2},
		{1, 0.5, Heavy, 5}, // Pollaczek and Khinchine: busy / (1-busy) × (1+9) / 2
	} {
		t.Run(fmt.Sprint(test.servers, " ", test.busy, " ", test.spread), func(t *testing.T) {
			var c clock
			r := rand.New(rand.NewPCG(7, 7))
			s := newStation(&c, test.servers)
			arrivals := 4e5
			if test.spread == Heavy { // whose mean few of them make
				arrivals = 2e6
			}
			mean := float64(service) / test.busy / float64(test.servers)
			waited, n := time.Duration(0), 0
			var arrive func()
			arrive = func() {
				came := c.now
				s.acquire(func() {
					waited += c.now - came
					n++
					c.after(test.spread.draw(r, service), s.release)
				})
				c.after(time.Duration(r.ExpFloat64()*mean), arrive)
			}
			arrive()
			c.run(time.Duration(arrivals * mean))
			got := waited.Seconds() / float64(n) / service.Seconds()
			if !near(got, test.want, 0.05) {
				t.Errorf("mean wait %.3f service times of %d, want %.3f", got, n, test.want)
			}
			if busy := s.meanBusy() / float64(test.servers); !near(busy, test.busy, 0.01) {
				t.Errorf("busy %.3f, want %.3f", busy, test.busy)
			}
		})
	}
}

// only is a system in which nothing takes time but the work, in so many slots.
func only(slots int, busy float64) Config {
	const work = 100 * time.Millisecond
	rate := busy * float64(slots) / work.Seconds()
	return Config{
		Seed: 3, Rate: rate, WarmUp: time.Minute, Duration: time.Duration(2e5 / rate * 1e9),
		Queues: 1, QueueRate: 1e6, QueueRunning: 1e6, Instances: 1, Warm: 1, Concurrency: slots, Conns: 1, InstanceCPUs: 1,
		Work: work, WorkSpread: Exponential, DBCPUs: 1,
	}
}

// The whole path with one thing that takes time is M/M/c too.
func TestThePathWaitsAsQueueingTheorySays(t *testing.T) {
	for _, test := range []struct {
		slots int
		busy  float64
	}{{1, 0.7}, {8, 0.8}, {40, 0.95}} {
		cfg := only(test.slots, test.busy)
		result, err := Run(cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := erlangC(test.slots, test.busy) * cfg.Work.Seconds()
		if got := result.WaitMean.Seconds(); !near(got, want, 0.06) {
			t.Errorf("%d slots, %.0f%% busy: mean wait %.4fs, want %.4fs", test.slots, 100*test.busy, got, want)
		}
		if !near(result.Utilisation[Slots], test.busy, 0.01) || result.Bottleneck != "" {
			t.Errorf("%d slots are %.3f busy, want %.3f; bottleneck %q", test.slots, result.Utilisation[Slots], test.busy, result.Bottleneck)
		}
	}
}

// Little's law: what is inside is what comes in a second times how long it stays.
func TestLittlesLaw(t *testing.T) {
	for _, rate := range []float64{50, 400} {
		cfg := Default()
		cfg.Rate, cfg.OwnCPU, cfg.WorkSpread, cfg.Duration = rate, 300*time.Microsecond, Heavy, 10*time.Minute
		result, err := Run(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if want := result.PerSecond * result.TotalMean.Seconds(); !near(result.Inside, want, 0.01) || !near(result.PerSecond, rate, 0.02) {
			t.Errorf("at %.0f/s: %.2f inside, want %.2f of %.1f/s", rate, result.Inside, want, result.PerSecond)
		}
	}
}

package probe

import (
	"context"
	"errors"
	"os"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5"
)

// Metrics are the results of one measurement, by metric.
type Metrics map[string]float64

// Meter measures a stretch of work. Its own connection is made before.
type Meter struct {
	// Profile is the file for a CPU profile of the stretch, the last one if there are
	// several; empty: none. What comes before Start is not in it.
	Profile string

	// Client is the process that does the work, if that is not this one. Its CPU counts
	// as the client's, beside that of this process, and its memory instead of it.
	Client int

	profile *os.File // while it is written
	pid     int
	conn    *pgx.Conn // nil where there is no PostgreSQL
	from    reading
}

type reading struct {
	at             time.Time
	server, client time.Duration
	wal            int64 // bytes of log since the cluster was made
}

// NewMeter measures the server with this process ID; 0 says that the database is
// a part of this process. url may be empty.
func NewMeter(ctx context.Context, pid int, url string) (*Meter, error) {
	m := &Meter{pid: pid}
	if url == "" {
		return m, nil
	}
	var err error
	m.conn, err = pgx.Connect(ctx, url)
	return m, err
}

// Close ends the meter's connection, and a profile that Stop did not end.
func (m *Meter) Close(ctx context.Context) {
	m.stopProfile()
	if m.conn != nil {
		_ = m.conn.Close(ctx)
	}
}

func (m *Meter) read(ctx context.Context) (r reading, err error) {
	if m.conn != nil {
		err = m.conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").Scan(&r.wal)
	}
	var err1, err2 error
	if m.pid != 0 {
		r.server, err1 = ServerCPU(m.pid)
	}
	r.client, err2 = ClientCPU()
	if m.Client != 0 {
		used, err := ServerCPU(m.Client)
		r.client, err2 = r.client+used, errors.Join(err2, err)
	}
	r.at = time.Now()
	return r, errors.Join(err, err1, err2)
}

// Start begins the stretch.
func (m *Meter) Start(ctx context.Context) error {
	err := m.startProfile()
	if err != nil {
		return err
	}
	m.from, err = m.read(ctx)
	return err
}

func (m *Meter) startProfile() (err error) {
	m.stopProfile()
	if m.Profile == "" {
		return nil
	}
	if m.profile, err = os.Create(m.Profile); err != nil {
		return err
	}
	return pprof.StartCPUProfile(m.profile)
}

func (m *Meter) stopProfile() {
	if m.profile == nil {
		return
	}
	pprof.StopCPUProfile()
	_ = m.profile.Close()
	m.profile = nil
}

// Stop ends the stretch, in which n tasks were dealt with.
func (m *Meter) Stop(ctx context.Context, n int) (Metrics, error) {
	if n == 0 {
		return nil, errors.New("nothing was done in the time of the measurement")
	}
	end := time.Now()
	to, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	m.stopProfile()
	peak, err := PeakRSS(m.Client)
	if err != nil {
		return nil, err
	}
	tasks := float64(n)
	f := Metrics{
		"per_s":         tasks / end.Sub(m.from.at).Seconds(),
		"client_cpu_us": micros(to.client-m.from.client) / tasks,
		"peak_rss_mb":   float64(peak) / (1 << 20),
	}
	if m.pid != 0 {
		f["server_cpu_us"] = micros(to.server-m.from.server) / tasks
	}
	if m.conn != nil {
		f["wal_bytes"] = float64(to.wal-m.from.wal) / tasks
	}
	return f, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Sum adds up the metrics of several stretches. The zero value is ready to use.
type Sum struct {
	tasks, seconds float64
	costs          Metrics // for all tasks
	peak           float64
}

// Add adds the metrics of a stretch in which n tasks were dealt with.
func (s *Sum) Add(f Metrics, n int) {
	if s.costs == nil {
		s.costs = make(Metrics)
	}
	s.tasks += float64(n)
	s.seconds += float64(n) / f["per_s"]
	for _, name := range []string{"client_cpu_us", "server_cpu_us", "wal_bytes"} {
		if value, ok := f[name]; ok {
			s.costs[name] += value * float64(n)
		}
	}
	s.peak = max(s.peak, f["peak_rss_mb"])
}

// Metrics are those of all stretches together.
func (s *Sum) Metrics() Metrics {
	f := Metrics{"per_s": s.tasks / s.seconds, "peak_rss_mb": s.peak}
	for name, value := range s.costs {
		f[name] = value / s.tasks
	}
	return f
}

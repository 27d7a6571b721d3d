package sim

import "testing"

func TestAMillionTasksCostWhatTheirPartsCost(t *testing.T) {
	cfg := Default()
	cfg.InstanceCPUs, cfg.DBCPUs = 2, 4
	// 100 tasks/s are 10,000 s for a million: 20,000 s of an instance, and 4 × 10,000 s of the database's CPU.
	got := PerMillion(cfg, Result{PerSecond: 100, BilledSeconds: 0.02}, Prices{
		TasksOperation: 1e-6, Request: 3e-6, CPUSecond: 0.0001, GiBSecond: 0.0002, DBCPUHour: 0.36, DBGiBHour: 0.036,
	})
	if got.Tasks != 2 || !near(got.Run, 3+20_000*(2*0.0001+0.5*0.0002), 1e-9) || !near(got.Database, 4*10_000*(0.0001+3.75*0.00001), 1e-9) {
		t.Errorf("%+v", got)
	}
	if !near(got.Sum(), got.Tasks+got.Run+got.Database, 1e-9) {
		t.Errorf("%+v in all", got.Sum())
	}
}

// An instance is billed while it has a request, however many.
func TestAnInstanceIsBilledWhileItIsBusy(t *testing.T) {
	cfg := only(1, 0.5)
	result, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !near(result.BilledSeconds, cfg.Work.Seconds(), 0.02) {
		t.Errorf("%.4fs a task one at a time, want its %s", result.BilledSeconds, cfg.Work)
	}
	cfg = only(40, 0.95)
	if result, _ = Run(cfg); !near(result.BilledSeconds, 1/cfg.Rate, 0.02) {
		t.Errorf("%.5fs a task at %.0f/s in one instance that never rests, want %.5f", result.BilledSeconds, cfg.Rate, 1/cfg.Rate)
	}
}

package sim

import "time"

// Prices are list prices in US dollars.
type Prices struct {
	TasksOperation float64 // Cloud Tasks: a call of the API, or a delivery
	Request        float64 // Cloud Run
	CPUSecond      float64 // Cloud Run, request-based billing: a vCPU of an instance that has a request
	GiBSecond      float64 // Cloud Run, its memory
	DBCPUHour      float64 // Cloud SQL for PostgreSQL, Enterprise edition, one zone
	DBGiBHour      float64
}

// ListPrices are what Google's public price pages said for us-central1 in November
// 2026, without free tiers and discounts: an assumption to be checked at
// cloud.google.com/tasks/pricing, /run/pricing and /sql/pricing.
func ListPrices() Prices {
	return Prices{
		TasksOperation: 0.40e-6, Request: 0.40e-6, CPUSecond: 0.000024, GiBSecond: 0.0000025,
		DBCPUHour: 0.0413, DBGiBHour: 0.007,
	}
}

// How much memory goes with the CPUs.
const (
	instanceGiB = 0.5  // of an instance
	dbGiBPerCPU = 3.75 // of the database
)

// Cost is what a million tasks cost, in dollars.
type Cost struct{ Tasks, Run, Database float64 }

// Sum is all of it.
func (c Cost) Sum() float64 { return c.Tasks + c.Run + c.Database }

// PerMillion is what a million tasks cost if all hours are as in result. A task
// is two operations of Cloud Tasks, its create and one delivery; the database is
// paid for whether it is busy or not. Storage, traffic and logs are not in it.
func PerMillion(cfg Config, result Result, p Prices) Cost {
	const million = 1e6
	instance := float64(cfg.InstanceCPUs)*p.CPUSecond + instanceGiB*p.GiBSecond
	database := float64(cfg.DBCPUs) * (p.DBCPUHour + dbGiBPerCPU*p.DBGiBHour) / time.Hour.Seconds()
	return Cost{
		Tasks:    million * 2 * p.TasksOperation,
		Run:      million * (p.Request + result.BilledSeconds*instance),
		Database: million * database / result.PerSecond,
	}
}

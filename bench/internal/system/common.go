package system

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
)

// poolSize is how many connections each system may use.
const poolSize = 20

// order is the argument of every task.
type order struct {
	OrderID  int64  `json:"order_id"`
	Customer string `json:"customer"`
	Template string `json:"template"`
	Note     string `json:"note"`
}

// Kind is the task's name, as River wants it.
func (order) Kind() string { return taskName }

const taskName = "send_receipt"

var (
	sample = order{OrderID: 4711, Customer: "customer@example.com", Template: "receipt", Note: "thank you for your order, it is on its way"}
	// sampleJSON is what goes into the database.
	sampleJSON = func() []byte {
		text, err := json.Marshal(sample)
		if err != nil {
			panic(err) // it is a plain struct
		}
		return text
	}()
)

// quiet logs what is wrong, and nothing else.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// openPool opens the pool that the systems on PostgreSQL get, with settings of
// the connections by name.
func openPool(ctx context.Context, url string, settings map[string]string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = poolSize
	for name, value := range settings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	return pgxpool.NewWithConfig(ctx, config)
}

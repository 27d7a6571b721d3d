// Command import brings a long file of customers into a database, in pieces that each fit
// into the time of one delivery, with checkpoints and visible progress. In "go run ." an
// attempt fails in the middle, and the next one goes on where it was.
package main

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// ImportCustomers is the task. Its three attempts are those without progress: each piece
// that is done allows three more.
var ImportCustomers = queue.Declare[Import, Position]("customers.import", queue.OnQueue("imports"), queue.MaxAttempts(3), queue.Timeout(20*time.Minute))

// Import are the arguments of ImportCustomers. The file is where every process can read it.
type Import struct {
	Path string `json:"path"`
}

// Position is how far an import has come, and at the end its result.
type Position struct {
	Offset   int64 `json:"offset"` // bytes of the file
	Imported int   `json:"imported"`
	Rejected int   `json:"rejected"`
}

const customersTable = `CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, name TEXT NOT NULL)`

type importer struct {
	db    *sql.DB
	batch int // lines of one transaction
	piece int // batches of one attempt
	// fails is called before each batch, to show what happens then.
	fails func(Position) error
}

// run imports a piece, or what is left.
func (im *importer) run(ctx context.Context, in Import) (Position, error) {
	total, err := queue.Step(ctx, "count", func(context.Context) (int, error) { return countLines(in.Path) }) // once, however many pieces
	if err != nil {
		return Position{}, err
	}
	at, _, err := queue.Checkpoint[Position](ctx) // the beginning, the first time
	if err != nil {
		return Position{}, err
	}
	file, err := os.Open(in.Path)
	if err != nil {
		return Position{}, err
	}
	defer func() { _ = file.Close() }()
	report := func(at Position) { // shown in the admin, and by result --watch
		queue.Progress(ctx, at.Imported+at.Rejected, total)
		queue.Note(ctx, fmt.Sprintf("%d customers, %d lines rejected", at.Imported, at.Rejected))
	}
	for done := 0; ; done++ {
		report(at)
		if deadline, ok := ctx.Deadline(); done == im.piece || ok && time.Until(deadline) < time.Minute {
			return Position{}, queue.Continue(at) // runs again at once, from here
		}
		if err := im.fails(at); err != nil {
			return Position{}, err // retried after a second, from the last checkpoint
		}
		next, err := im.importBatch(ctx, file, at)
		if errors.Is(err, io.EOF) {
			report(next)
			return next, nil
		}
		if err == nil {
			err = queue.SaveCheckpoint(ctx, next)
		}
		if err != nil {
			return Position{}, err
		}
		at = next
	}
}

// importBatch imports the lines after a position, in one transaction, and returns the next
// position, at the end of the file with io.EOF. A batch that is repeated, because its
// checkpoint was not stored, changes nothing.
func (im *importer) importBatch(ctx context.Context, file io.ReadSeeker, at Position) (Position, error) {
	if _, err := file.Seek(at.Offset, io.SeekStart); err != nil {
		return at, err
	}
	tx, err := im.db.BeginTx(ctx, nil)
	if err != nil {
		return at, err
	}
	defer func() { _ = tx.Rollback() }() // fails after the commit
	lines, next := csv.NewReader(file), at
	for range im.batch {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return next, errors.Join(tx.Commit(), io.EOF)
		}
		if err != nil || len(fields) != 2 || fields[0] == "" {
			next.Rejected++
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO customers (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, fields[0], fields[1]); err != nil {
			return at, err
		}
		next.Imported++
	}
	next.Offset = at.Offset + lines.InputOffset()
	return next, tx.Commit()
}

func countLines(path string) (n int, err error) {
	data, err := os.ReadFile(path)
	for _, b := range data {
		if b == '\n' {
			n++
		}
	}
	return n, err
}

func main() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "import-")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "customers.csv")
	check(os.WriteFile(path, sample(20_000), 0o600))
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	check(err)
	_, err = store.DB().ExecContext(ctx, customersTable)
	check(err)
	im := &importer{db: store.DB(), batch: 500, piece: 10, fails: once(7_500)}
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(ImportCustomers.Handle(im.run)), Logger: slog.New(slog.DiscardHandler)})
	check(err)

	handle, err := ImportCustomers.Enqueue(ctx, client, Import{Path: path})
	check(err)
	end, err := ImportCustomers.Wait(ctx, client, handle.ID)
	check(err)
	row, err := client.Get(ctx, handle.ID)
	check(err)
	fmt.Printf("imported %d customers and rejected %d lines, in %d attempts, of which %d failed (%s)\n",
		end.Imported, end.Rejected, row.Attempts, len(row.Errors), row.Errors[0].Message)
	fmt.Printf("progress: %d of %d; note: %s\n", row.Progress.Done, row.Progress.Total, row.Note)
}

// once fails one time, after so many lines.
func once(lines int) func(Position) error {
	failed := false
	return func(at Position) error {
		if failed || at.Imported+at.Rejected < lines {
			return nil
		}
		failed = true
		return errors.New("the database is away")
	}
}

// sample is a file of n lines, a few of which are no customers.
func sample(n int) []byte {
	var text []byte
	for i := 1; i <= n; i++ {
		if i%1000 == 0 {
			text = append(text, "only one field\n"...)
			continue
		}
		text = fmt.Appendf(text, "c%06d,\"Customer, %d\"\n", i, i)
	}
	return text
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

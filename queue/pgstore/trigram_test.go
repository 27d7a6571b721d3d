package pgstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// trigramIndex are the statements of docs/operations.md that make the index.
func trigramIndex(t *testing.T) (statements []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Searching many tasks by their arguments\n")
	_, block, _ := strings.Cut(section, "\n```sql\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/operations.md has no such statements")
	}
	for statement := range strings.SplitSeq(strings.TrimSpace(block), ";\n") {
		statements = append(statements, strings.TrimSuffix(statement, ";"))
	}
	return statements
}

// With the index of docs/operations.md a search by arguments is one of the whole table.
func TestATrigramIndexServesSearchesByArguments(t *testing.T) {
	url := testdb.StartPostgres(t).URL("postgres")
	s := migrated(t, pgstore.Config{URL: url})
	var want []uuid.UUID
	insert := func(args, keyID string) uuid.UUID {
		row := &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "default", Args: json.RawMessage(args), KeyID: keyID, MaxAttempts: 1}
		if err := s.Insert(t.Context(), &queue.NewRow{Row: row}); err != nil {
			t.Fatal(err)
		}
		return row.ID
	}
	for i := range 60 {
		id := insert(fmt.Sprintf(`{"user_id":%d,"rate":"50%%_!'x"}`, 47110+i%20), "")
		if i%20 == 1 {
			want = append([]uuid.UUID{id}, want...)
		}
	}
	sealed := insert(`"claimcheck:1:k1:row:NDcxMQ"`, "k1")
	insert(`{"other":1}`, "")
	search := func(path, value string, limit int) (found []uuid.UUID, pages int) {
		r := queue.ListRequest{Selection: queue.Selection{Args: []queue.ArgFilter{{Path: path, Value: value}}}, Limit: limit, Window: 5}
		match := r.Selection
		seen := false
		r.Match = func(row *queue.Row) bool {
			seen = seen || row.ID == sealed
			return match.MatchesContents(row)
		}
		for {
			page, err := s.List(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				found = append(found, row.ID)
			}
			if pages++; page.Next == "" {
				break
			}
			r.After = page.Next
		}
		if !seen {
			t.Errorf("%s = %s: the encrypted row was not decrypted", path, value)
		}
		return found, pages
	}
	compare := func(when string, wantPages int) {
		t.Helper()
		if got, pages := search("user_id", "47111", 100); !slices.Equal(got, want) || pages != wantPages {
			t.Errorf("%s: found %d of %d rows on %d pages, want %d", when, len(got), len(want), pages, wantPages)
		}
		if got, _ := search("user_id", "47111", 1); !slices.Equal(got, want) {
			t.Errorf("%s, one by one: found %d of %d rows", when, len(got), len(want))
		}
		if got, _ := search("rate", "50%_!'x", 100); len(got) != 60 {
			t.Errorf("%s: found %d rows with special characters", when, len(got))
		}
		if got, _ := search("user_id", "47", 100); len(got) != 0 {
			t.Errorf("%s: found %d rows by a part of a number", when, len(got))
		}
	}
	compare("without the index", 13) // 62 rows in windows of 5
	for _, statement := range trigramIndex(t) {
		testdb.Exec(t, url, statement)
	}
	compare("with the index", 1)
	if n, err := s.CountKeys(context.WithoutCancel(t.Context())); err != nil || len(n) != 1 {
		t.Errorf("%v, %v", n, err)
	}
}

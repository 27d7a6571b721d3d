package sqlstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestARowWithAnInvalidColumnFailsAlone(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite::memory:", "MySQL": testdb.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, url, config{})
			exec := func(t *testing.T, statement string) {
				if _, err := s.DB().ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			storetest.RunInvalid(t, s, exec,
				storetest.Invalid{Set: `errors = '{"a":1}'`, Column: "errors", Kept: `{"a":1}`},
				storetest.Invalid{Set: `errors = '"text"'`, Column: "errors", Kept: `"text"`},
				storetest.Invalid{Set: `errors = '[{"attempt":"first"}]'`, Column: "errors", Kept: `[{"attempt":"first"}]`},
				storetest.Invalid{Set: `errors = '[1'`, Column: "errors", Kept: `[1`},
				storetest.Invalid{Set: `worker_ids = '{"a":1}'`, Column: "worker_ids", Kept: `{"a":1}`},
				storetest.Invalid{Set: `worker_ids = '[["a"],["b"]]'`, Column: "worker_ids", Kept: `[["a"],["b"]]`},
				storetest.Invalid{Set: `args = 'x'`, Column: "args", Kept: `x`},
				storetest.Invalid{Set: `claim_id = 'x'`, Column: "claim_id", Kept: `x`},
			)
		})
	}
}

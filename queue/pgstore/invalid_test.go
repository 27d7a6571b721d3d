package pgstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

func TestARowWithAnInvalidColumnFailsAlone(t *testing.T) {
	for name, pooler := range map[string]bool{"direct": false, "through a pooler": true} {
		t.Run(name, func(t *testing.T) {
			config := pgstore.Config{URL: testdb.Postgres(t), Pooler: pooler}
			exec := func(t *testing.T, statement string) { testdb.Exec(t, config.URL, statement) }
			storetest.RunInvalid(t, migrated(t, config), exec,
				storetest.Invalid{Set: `errors = '{"a":1}'`, Column: "errors", Kept: `{"a":1}`},
				storetest.Invalid{Set: `errors = '"text"'`, Column: "errors", Kept: `"text"`},
				storetest.Invalid{Set: `errors = '[{"attempt":"first"}]'`, Column: "errors", Kept: `[{"attempt":"first"}]`},
				storetest.Invalid{Set: `errors = '[1]'`, Column: "errors", Kept: `[1]`},
				storetest.Invalid{Set: `worker_ids = '{{a,b},{c,d}}'`, Column: "worker_ids", Kept: `"a" "b" "c" "d"`},
				storetest.Invalid{Set: `worker_ids = '{a,NULL}'`, Column: "worker_ids", Kept: `"a" "NULL"`},
			)
		})
	}
}

package pgstore_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/storetest"
)

// smallRows refuses what is larger than 256 KiB as the server refuses what is larger
// than a gigabyte: with program_limit_exceeded.
const smallRows = `
CREATE FUNCTION refuse_large() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the row is too large' USING ERRCODE = '54000'; END $$;
CREATE TRIGGER refuse_large BEFORE UPDATE ON claimcheck_tasks FOR EACH ROW
	WHEN (octet_length(NEW.return_value::text) > 262144 OR octet_length(NEW.errors::text) > 262144) EXECUTE FUNCTION refuse_large()`

func TestWhatPostgresRefusesForItsSizeFailsAtOnce(t *testing.T) {
	for name, merged := range map[string]bool{"single": false, "merged": true} {
		t.Run(name, func(t *testing.T) {
			config := pgstore.Config{URL: testdb.Postgres(t)}
			s := migrated(t, config)
			if merged {
				s.Single(false)
			}
			testdb.Exec(t, config.URL, smallRows)
			storetest.RunTooLarge(t, s, 256<<10, "the row is too large")
		})
	}
}

package mysqlstore

import (
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

func TestInspect(t *testing.T) {
	s, err := Open(t.Context(), Config{URL: testdb.MariaDB(t), Unchecked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	f, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Product == "" || f.Version == "" || f.Oldest == "" || f.TooOld || f.ReadOnly || f.MaxConnections < 10 || f.Connections < 1 {
		t.Errorf("%+v", f)
	}
	if off := f.Now.Sub(f.Asked); off < -time.Minute || off > time.Minute {
		t.Errorf("%+v", f)
	}
	if len(f.Durability) == 0 || f.Durability[0].Name != "innodb_flush_log_at_trx_commit" {
		t.Errorf("%+v", f.Durability)
	}
	if version, err := s.SchemaVersion(t.Context()); err != nil || version != 0 {
		t.Errorf("version %d, %v", version, err)
	}
}

func TestSettingsThatLoseTasks(t *testing.T) {
	for value, loses := range map[string]bool{"0": true, "1": false, "2": true} {
		for _, set := range []struct{ loses, fix string }{
			{flushed(value).Loses, flushed(value).Fix}, {synced(value).Loses, synced(value).Fix},
		} {
			if (set.loses != "") != loses || (set.fix != "") != loses {
				t.Errorf("%s: %+v", value, set)
			}
		}
	}
}

package pgstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// inspect opens a database with more parameters in its URL, and inspects it.
func inspect(t *testing.T, config pgstore.Config, parameters ...string) dbfacts.Facts {
	t.Helper()
	u, err := url.Parse(testdb.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = query.Encode()
	config.URL = u.String()
	config.Unchecked = true
	s, err := pgstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	facts, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestInspect(t *testing.T) {
	f := inspect(t, pgstore.Config{})
	if f.Product != "PostgreSQL" || f.Version == "" || f.Oldest != "14" || f.TooOld || f.ReadOnly || f.Pooled {
		t.Errorf("%+v", f)
	}
	if f.MaxConnections < 10 || f.Reserved < 1 || f.UserLimit != 0 || f.Connections < 1 {
		t.Errorf("%+v", f)
	}
	if off := f.Now.Sub(f.Asked); off < -time.Minute || off > time.Minute || f.Answered.Before(f.Asked) {
		t.Errorf("%+v", f)
	}
	if f.Durability[0].Name != "synchronous_commit" || f.Durability[0].Value != "on" || f.Durability[0].Loses != "" {
		t.Errorf("%+v", f.Durability)
	}
}

func TestInspectReportsWhatACrashMayLose(t *testing.T) {
	for value, want := range map[string]struct{ loses, refused bool }{
		"off": {true, true}, "local": {true, false}, "remote_write": {false, false}, "remote_apply": {false, false},
	} {
		set := inspect(t, pgstore.Config{}, "synchronous_commit", value).Durability[0]
		if set.Value != value || (set.Loses != "") != want.loses || (set.Fix != "") != want.loses || set.Refused != want.refused {
			t.Errorf("%s: %+v", value, set)
		}
	}
	if !inspect(t, pgstore.Config{}, "default_transaction_read_only", "on").ReadOnly {
		t.Error("a read-only session is not seen")
	}
}

// A pooler answers with a process ID of its own.
func TestInspectSeesAPooler(t *testing.T) {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &otherPID{Conn: conn}, err
	}
	if !inspect(t, pgstore.Config{DialFunc: dial, Pooler: true}).Pooled {
		t.Error("it was not seen")
	}
}

// otherPID changes the process ID that the server sends at the start, as poolers
// do.
type otherPID struct {
	net.Conn
	done bool
}

func (c *otherPID) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	keyData := []byte{'K', 0, 0, 0, 12}
	if i := bytes.Index(p[:n], keyData); !c.done && i >= 0 && i+9 <= n {
		c.done = true
		binary.BigEndian.PutUint32(p[i+5:], 7)
	}
	return n, err
}

func TestSchemaVersionKnowsNewerOnes(t *testing.T) {
	databaseURL := testdb.Postgres(t)
	s, err := pgstore.Open(t.Context(), pgstore.Config{URL: databaseURL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	version := func(want int64) {
		t.Helper()
		if got, err := s.SchemaVersion(t.Context()); err != nil || got != want {
			t.Errorf("version %d, %v; want %d", got, err, want)
		}
	}
	version(0)
	applied, err := s.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version(applied[len(applied)-1].Version)
	testdb.Exec(t, databaseURL, "INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (4711, true)")
	version(4711)
}

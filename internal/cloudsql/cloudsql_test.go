package cloudsql_test

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudsqlconn"
	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/claimcheck-go/claimcheck/internal/cloudsql"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func TestAStoreWorksThroughTheConnector(t *testing.T) {
	for _, config := range []cloudsql.Config{
		{Instance: "my-project:europe-west1:tasks"},
		{Instance: "example.com:my-project:europe-west1:tasks", PrivateIP: true, IAMAuth: true},
	} {
		t.Run(config.Instance, func(t *testing.T) {
			databaseURL := testdb.Postgres(t)
			fake := newFake(t, config.Instance, databaseURL)
			connector, err := cloudsql.New(config, fake.options(config)...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connector.Close() }()
			if n := fake.calls.Load(); n != 0 {
				t.Errorf("%d calls before the first Dial", n)
			}
			s, err := pgstore.Open(t.Context(), pgstore.Config{
				URL: throughConnector(t, databaseURL), DialFunc: connector.Dial, Name: "Cloud SQL instance " + config.Instance,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			row := &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 1}}
			if err := s.Insert(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			claimed, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()})
			if err != nil || claimed.Status != queue.StatusRunning {
				t.Fatalf("Claim: %+v, %v", claimed, err)
			}

			wantAddress, wantToken := publicIP+":3307", ""
			if config.PrivateIP {
				wantAddress = privateIP + ":3307"
			}
			if config.IAMAuth {
				wantToken = "login-token"
			}
			if got := fake.dialed.Load(); got != wantAddress {
				t.Errorf("dialed %v, want %s", got, wantAddress)
			}
			if got := fake.loginToken.Load(); got != wantToken {
				t.Errorf("the certificate was asked for with token %v, want %q", got, wantToken)
			}
		})
	}
}

func TestAMySQLStoreWorksThroughTheConnector(t *testing.T) {
	config := cloudsql.Config{Instance: "my-project:europe-west1:mysql"}
	databaseURL := testdb.MariaDB(t)
	fake := newFake(t, config.Instance, databaseURL)
	connector, err := cloudsql.New(config, fake.options(config)...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connector.Close() }()
	s, err := mysqlstore.Open(t.Context(), mysqlstore.Config{
		URL:      throughConnector(t, databaseURL),
		DialFunc: connector.Dial, Name: "Cloud SQL instance " + config.Instance, MaxConns: 2, Migrate: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	row := &queue.NewRow{Row: &queue.Row{ID: uuid.Must(uuid.NewV7()), Task: "t", Args: json.RawMessage(`1`), MaxAttempts: 1}}
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if got := fake.dialed.Load(); got != publicIP+":3307" {
		t.Errorf("dialed %v", got)
	}
	// Broken connections, which cannot be detected before they are used, are
	// replaced.
	fake.cut()
	if _, err := s.Get(t.Context(), row.ID); err != nil {
		t.Errorf("Get: %v", err)
	}
	fake.cut()
	if _, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: uuid.New()}); err != nil {
		t.Errorf("Claim: %v", err)
	}
}

func TestAnInstanceThatCannotBeReachedIsOneLine(t *testing.T) {
	fake := newFake(t, "my-project:europe-west1:tasks", testdb.Postgres(t))
	config := cloudsql.Config{Instance: "my-project:europe-west1:missing"}
	connector, err := cloudsql.New(config, fake.options(config)...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connector.Close() }()
	_, err = pgstore.Open(t.Context(), pgstore.Config{URL: "postgres://app:s3cret@/tasks", DialFunc: connector.Dial, Name: "Cloud SQL instance " + config.Instance})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), config.Instance+"/tasks as user app") || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open: %v", err)
	}
	t.Log(err)
	_, err = mysqlstore.Open(t.Context(), mysqlstore.Config{URL: "mysql://app:s3cret@/tasks", DialFunc: connector.Dial, Name: "Cloud SQL instance " + config.Instance})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), config.Instance+"/tasks as user app") || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open: %v", err)
	}
	t.Log(err)
}

func TestNewRefusesBadNames(t *testing.T) {
	for _, name := range []string{"", "tasks", "europe-west1:tasks", "a:b:c:d:e", "my-project:europe-west1:tasks ", "/cloudsql/a:b:c", "a:b:", "postgres://a:b:c"} {
		_, err := cloudsql.New(cloudsql.Config{Instance: name})
		if err == nil || !strings.Contains(err.Error(), "project:region:instance") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAClosedConnectorDoesNotDial(t *testing.T) {
	connector, err := cloudsql.New(cloudsql.Config{Instance: "a:b:c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := connector.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := connector.Dial(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial: %v", err)
	}
}

// options point the connector at the fake.
func (f *fake) options(config cloudsql.Config) []cloudsqlconn.Option {
	api := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "api-token", Expiry: time.Now().Add(time.Hour)})
	login := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "login-token", Expiry: time.Now().Add(time.Hour)})
	tokens := cloudsqlconn.WithTokenSource(api)
	if config.IAMAuth {
		tokens = cloudsqlconn.WithIAMAuthNTokenSources(api, login)
	}
	return []cloudsqlconn.Option{
		cloudsqlconn.WithAdminAPIEndpoint(f.api.URL), cloudsqlconn.WithHTTPClient(f.api.Client()), cloudsqlconn.WithDialFunc(f.dial), tokens,
	}
}

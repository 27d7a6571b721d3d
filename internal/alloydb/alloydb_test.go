package alloydb_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/alloydb/connectors/apiv1alpha/connectorspb"
	"cloud.google.com/go/alloydbconn"
	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/claimcheck-go/claimcheck/internal/alloydb"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

const instance = "projects/my-project/locations/europe-west1/clusters/tasks/instances/primary"

func TestAStoreWorksThroughTheConnector(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		config  alloydb.Config
		address string
		login   connectorspb.MetadataExchangeRequest_AuthType
		token   string
	}{
		{alloydb.Config{Instance: instance}, privateIP + ":5433", connectorspb.MetadataExchangeRequest_DB_NATIVE, "api-token"},
		{alloydb.Config{Instance: instance, Address: alloydb.Public}, publicIP + ":5433", connectorspb.MetadataExchangeRequest_DB_NATIVE, "api-token"},
		{alloydb.Config{Instance: strings.Replace(instance, "my-project", "example.com:my-project", 1), Address: alloydb.PSC, IAMAuth: true},
			pscName + ":5433", connectorspb.MetadataExchangeRequest_AUTO_IAM, "login-token"},
	} {
		t.Run(tc.config.Instance+" "+tc.config.Address, func(t *testing.T) {
			t.Parallel()
			databaseURL := testdb.Postgres(t)
			fake := newFake(t, tc.config.Instance, databaseURL)
			connector, err := alloydb.New(tc.config, fake.options(tc.config)...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connector.Close() }()
			if n := fake.calls.Load(); n != 0 {
				t.Errorf("%d calls before the first Dial", n)
			}
			s, err := pgstore.Open(t.Context(), pgstore.Config{
				URL: throughConnector(t, databaseURL), DialFunc: connector.Dial, Name: "AlloyDB instance " + tc.config.Instance,
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
			if got := fake.dialed.Load(); got != tc.address {
				t.Errorf("dialed %v, want %s", got, tc.address)
			}
			login := fake.login.Load().(*connectorspb.MetadataExchangeRequest)
			if login.GetAuthType() != tc.login || login.GetOauth2Token() != tc.token {
				t.Errorf("logged in as %s with %s", login.GetAuthType(), login.GetOauth2Token())
			}
		})
	}
}

func TestAnInstanceThatCannotBeReachedIsOneLine(t *testing.T) {
	t.Parallel()
	fake := newFake(t, instance, testdb.Postgres(t))
	config := alloydb.Config{Instance: strings.Replace(instance, "primary", "missing", 1)}
	connector, err := alloydb.New(config, fake.options(config)...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connector.Close() }()
	_, err = pgstore.Open(t.Context(), pgstore.Config{URL: "postgres://app:s3cret@/tasks", DialFunc: connector.Dial, Name: "AlloyDB instance " + config.Instance})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), config.Instance+"/tasks as user app") || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open: %v", err)
	}
}

func TestNewRefusesWhatNamesNoInstance(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "my-project:europe-west1:tasks", "projects/p/locations/r/clusters/c", instance + "/", "/" + instance, "projects/p/locations/r/clusters/c/instances/i?x", instance + "\n"} {
		if _, err := alloydb.New(alloydb.Config{Instance: name}); err == nil || !strings.Contains(err.Error(), "projects/PROJECT/locations/REGION") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := alloydb.New(alloydb.Config{Instance: instance, Address: "vpc"}); err == nil || !strings.Contains(err.Error(), "private, public or psc") {
		t.Errorf("address: %v", err)
	}
}

func TestAClosedConnectorDoesNotDial(t *testing.T) {
	t.Parallel()
	connector, err := alloydb.New(alloydb.Config{Instance: instance})
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
func (f *fake) options(config alloydb.Config) []alloydbconn.Option {
	token := func(text string) oauth2.TokenSource {
		return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: text, Expiry: time.Now().Add(time.Hour)})
	}
	options := []alloydbconn.Option{
		alloydbconn.WithAdminAPIEndpoint(f.api.URL), alloydbconn.WithHTTPClient(f.api.Client()), alloydbconn.WithDialFunc(f.dial),
		alloydbconn.WithTokenSource(token("api-token")),
	}
	if config.IAMAuth {
		options = append(options, alloydbconn.WithIAMAuthNTokenSource(token("login-token")))
	}
	return options
}

// throughConnector is databaseURL without host and port.
func throughConnector(t *testing.T, databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = ""
	return u.String()
}

package cloudtaskstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Server is a fake of the Cloud Tasks service. Make it with New or Start; close
// it to stop its deliveries.
type Server struct {
	cfg       Config
	issuer    *issuer
	transport http.RoundTripper

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // everything that Close waits for

	mu      sync.Mutex // guards all below, and queues and tasks
	queues  map[string]*queue
	gone    map[string]time.Time // deleted queues, and when
	names   heldNames
	batches batches
	history history
	faults  faultSource
	stats   Stats
	changed chan struct{} // closed and replaced whenever a task ends
	rand    *rand.Rand    // names of tasks
	bufconn *bufconn.Listener
	servers []*grpc.Server
	clients []*apiv2.Client
	closed  bool
}

// New returns a running Server. An error is one of Config.Queues.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		cfg:     cfg,
		issuer:  &issuer{name: cfg.Issuer, keys: []*rsaKey{{private: cfg.Key}}},
		ctx:     ctx,
		cancel:  cancel,
		queues:  map[string]*queue{},
		gone:    map[string]time.Time{},
		batches: batches{limit: cfg.History, byName: map[string]*batch{}, byRequest: map[string]*batch{}},
		names:   heldNames{heldFor: cfg.NamesHeldFor, until: map[string]time.Time{}},
		history: history{limit: cfg.History, tasks: map[string]*task{}},
		faults:  newFaultSource(cfg.Faults),
		changed: make(chan struct{}),
		rand:    rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	switch {
	case cfg.Handler != nil:
		s.transport = &detached{handler: cfg.Handler, ctx: ctx, wg: &s.wg}
	case cfg.Transport != nil:
		s.transport = cfg.Transport
	default:
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 100 // deliveries mostly go to one host
		s.transport = transport
	}
	for _, settings := range cfg.Queues {
		if err := s.addConfigured(settings); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) addConfigured(settings *cloudtaskspb.Queue) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.addQueue(settings); err != nil {
		return fmt.Errorf("queue %q: %w", settings.GetName(), err)
	}
	return nil
}

// Start makes a Server and a client of it for one test, and closes both when
// the test ends. It may be called inside a synctest bubble.
func Start(tb testing.TB, cfg Config) (*Server, *apiv2.Client) {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	client, err := s.Client(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return s, client
}

// Client returns a real Cloud Tasks client that is connected to s within the
// process. Close closes it too.
func (s *Server) Client(ctx context.Context) (*apiv2.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.bufconn == nil {
		s.bufconn = bufconn.Listen(1 << 20)
		server, listener := s.newGRPC(), s.bufconn
		s.wg.Go(func() { _ = server.Serve(listener) })
	}
	listener := s.bufconn
	conn, err := grpc.NewClient("passthrough:///cloudtaskstest",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the fake: %w", err)
	}
	client, err := apiv2.NewClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("make a client of the fake: %w", err)
	}
	s.clients = append(s.clients, client)
	return client, nil
}

// errClosed is returned once Close has been called.
var errClosed = errors.New("cloudtaskstest: server is closed")

// Serve answers the Cloud Tasks gRPC interface on l, in plaintext, until Close,
// which also closes l. It then returns nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	server := s.newGRPC()
	s.mu.Unlock()
	if err := server.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// newGRPC is called with s.mu held.
func (s *Server) newGRPC() *grpc.Server {
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	cloudtaskspb.RegisterCloudTasksServer(server, &api{s: s})
	longrunningpb.RegisterOperationsServer(server, &operationsAPI{s: s})
	s.servers = append(s.servers, server)
	return server
}

// Close stops deliveries, closes clients and listeners, and returns when no
// goroutine of the Server is left. It waits for a Handler that is running;
// tasks that were not delivered are gone. Closing twice does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	clients, servers := s.clients, s.servers
	s.clients, s.servers = nil, nil
	s.mu.Unlock()

	s.cancel()
	for _, client := range clients {
		_ = client.Close()
	}
	for _, server := range servers {
		server.Stop()
	}
	s.wg.Wait()
	if transport, ok := s.transport.(*http.Transport); ok && s.cfg.Transport == nil {
		transport.CloseIdleConnections()
	}
}

// noteChange wakes waiters: something ended. It is called with s.mu held.
func (s *Server) noteChange() {
	close(s.changed)
	s.changed = make(chan struct{})
}

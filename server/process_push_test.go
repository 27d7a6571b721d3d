package server

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procAccount is who Cloud Tasks signs as.
const procAccount = "tasks@proc.iam.gserviceaccount.com"

// procCloud is what surrounds a server on Google Cloud: Cloud Tasks, the
// endpoint of its verification keys, and a front end with a lasting address,
// behind which servers come and go.
type procCloud struct {
	*cloudtaskstest.Server
	t     *testing.T
	api   string // host:port of Cloud Tasks
	certs *httptest.Server
	front *httptest.Server
	down  atomic.Bool             // the keys' endpoint answers 503
	proxy atomic.Pointer[url.URL] // the server behind the front end
	green atomic.Pointer[url.URL] // the one that has the traffic tag green

	mu         sync.Mutex
	deliveries []procDelivery
}

// procDelivery is one request that came through the front end.
type procDelivery struct {
	method, uri, body string
	header            http.Header
	status            int // of the answer
}

func procNewCloud(t *testing.T) *procCloud {
	t.Helper()
	c := &procCloud{t: t}
	c.certs = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		c.Certs().ServeHTTP(w, r)
	}))
	t.Cleanup(c.certs.Close)
	c.front = httptest.NewServer(http.HandlerFunc(c.forward))
	t.Cleanup(c.front.Close)
	var err error
	c.Server, err = cloudtaskstest.New(cloudtaskstest.Config{Issuer: c.certs.URL, Transport: procNetwork{c}, Queues: []*cloudtaskspb.Queue{{
		Name:        "projects/proc/locations/europe-west1/queues/default",
		RetryConfig: &cloudtaskspb.RetryConfig{MaxBackoff: durationpb.New(500 * time.Millisecond)},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.api = listener.Addr().String()
	go func() { _ = c.Serve(listener) }()
	return c
}

// forward is the front end.
func (c *procCloud) forward(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	answer := &procStatus{ResponseWriter: w}
	server, gone := c.proxy.Load(), http.StatusBadGateway
	if strings.HasPrefix(r.Host, "green---") {
		server, gone = c.green.Load(), http.StatusNotFound
	}
	if server == nil {
		answer.WriteHeader(gone)
	} else {
		proxy := httputil.NewSingleHostReverseProxy(server)
		proxy.ErrorLog = log.New(io.Discard, "", 0) // a server that is gone is expected here
		proxy.ServeHTTP(answer, r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deliveries = append(c.deliveries, procDelivery{r.Method, r.URL.RequestURI(), string(body), r.Header, answer.status})
}

// procStatus remembers the status of an answer.
type procStatus struct {
	http.ResponseWriter
	status int
}

func (s *procStatus) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// delivered returns the deliveries of a task that were answered, in order.
func (c *procCloud) delivered(id fmt.Stringer) []procDelivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []procDelivery
	for _, d := range c.deliveries {
		if strings.Contains(d.uri, id.String()) {
			found = append(found, d)
		}
	}
	return found
}

// wantAnswers waits until a task's deliveries were answered like that.
func (c *procCloud) wantAnswers(id fmt.Stringer, statuses ...int) []procDelivery {
	c.t.Helper()
	procWait(c.t, "the answers", func() bool { return len(c.delivered(id)) >= len(statuses) })
	found := c.delivered(id)
	var got []int
	for _, d := range found {
		got = append(got, d.status)
	}
	if fmt.Sprint(got) != fmt.Sprint(statuses) {
		c.t.Errorf("deliveries were answered %v, want %v", got, statuses)
	}
	return found
}

// env is the environment of a server in cloudtasks mode.
func (c *procCloud) env(more ...string) []string {
	return append([]string{
		"TASKS_MODE=cloudtasks", "CLOUD_TASKS_PROJECT=proc", "CLOUD_TASKS_LOCATION=europe-west1",
		"TASK_HANDLER_URL=" + c.front.URL + "/tasks/execute/{task_id}/", "OIDC_SERVICE_ACCOUNT_EMAIL=" + procAccount,
		"CLOUD_TASKS_EMULATOR_HOST=" + c.api, "OIDC_ISSUER=" + c.certs.URL, "OIDC_CERTS_URL=" + c.certs.URL,
		procToken,
	}, more...)
}

// serve starts a server behind the front end.
func (c *procCloud) serve(dir string, env []string) *procServer {
	c.t.Helper()
	s := procServe(c.t, dir, env, "--migrate")
	address, err := url.Parse(s.url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.proxy.Store(address)
	return s
}

// bearer is the credential of an account.
func (c *procCloud) bearer(account string) []string {
	c.t.Helper()
	token, err := c.Token(account, c.front.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + token}
}

// signed is the credential of claims that are good but for the changes.
func (c *procCloud) signed(changes map[string]any) []string {
	c.t.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": c.certs.URL, "aud": c.front.URL, "sub": "1", "email": procAccount, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	token, err := c.SignClaims(claims)
	if err != nil {
		c.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + token}
}

// execute delivers a task as Cloud Tasks would, with these credentials.
func procExecute(s *procServer, id fmt.Stringer, header []string) procReply {
	s.t.Helper()
	return s.do(http.MethodPost, "/tasks/execute/"+id.String()+"/?fail_on_error=true", "", header...)
}

func TestPushDeliversATicketThatHoldsNothingButTheID(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	const args = `{"secret":"never-travels"}`
	id := s.enqueue(`{"task":"demo.echo","args":` + args + `}`).ID
	if row := s.wantEnd(id, queue.StatusSuccessful, 1); string(row.ReturnValue) != args {
		t.Errorf("return_value %s", row.ReturnValue)
	}
	delivery := c.wantAnswers(id, http.StatusOK)[0]
	if delivery.method != http.MethodPost || delivery.uri != "/tasks/execute/"+id.String()+"/?fail_on_error=true" || delivery.body != "" {
		t.Errorf("delivered %s %s %q", delivery.method, delivery.uri, delivery.body)
	}
	if token := delivery.header.Get("Authorization"); !strings.HasPrefix(token, "Bearer ey") {
		t.Errorf("Authorization %q", token)
	}

	// One that waits can be looked at where Cloud Tasks keeps it.
	id = s.enqueue(`{"task":"demo.echo","args":` + args + `,"run_after":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`).ID
	tasks := c.Tasks()
	if len(tasks) != 1 {
		t.Fatalf("%d Cloud Tasks", len(tasks))
	}
	request := tasks[0].GetHttpRequest()
	if request.GetUrl() != c.front.URL+"/tasks/execute/"+id.String()+"/?fail_on_error=true" || len(request.GetBody()) != 0 {
		t.Errorf("%v", request)
	}
	if text := tasks[0].String(); strings.Contains(text, "never-travels") || strings.Contains(text, "demo.echo") {
		t.Errorf("the Cloud Task has data of the task: %s", text)
	}
}

func TestPushFailureIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	id := s.enqueue(`{"task":"demo.flaky","args":{"failures":1}}`).ID
	row := s.wantEnd(id, queue.StatusSuccessful, 2)
	if string(row.ReturnValue) != `{"attempts":2}` || len(row.Errors) != 1 {
		t.Errorf("%+v", row)
	}
	deliveries := c.wantAnswers(id, http.StatusInternalServerError, http.StatusOK)
	for i, want := range []string{"0", "1"} {
		if got := deliveries[i].header.Get("X-Cloudtasks-Taskretrycount"); got != want {
			t.Errorf("retry count %s of delivery %d", got, i)
		}
	}
	name := "projects/proc/locations/europe-west1/queues/default/tasks/" + deliveries[0].header.Get("X-Cloudtasks-Taskname")
	procWait(t, "the message to be deleted", func() bool { return len(c.Tasks()) == 0 })
	attempts := c.Attempts(name)
	if len(attempts) != 2 || attempts[0].StatusCode != http.StatusInternalServerError || attempts[1].StatusCode != http.StatusOK {
		t.Errorf("attempts %+v", attempts)
	}
}

func TestPushKeepsToRunAfter(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	after := func(d time.Duration) string {
		return `{"task":"demo.echo","run_after":"` + time.Now().Add(d).Format(time.RFC3339Nano) + `"}`
	}

	far := s.enqueue(after(40 * 24 * time.Hour))
	if stats := c.Stats(); stats.Created != 0 || stats.Refused != 0 || far.DispatchError != "" {
		t.Errorf("40 days are more than Cloud Tasks takes, and yet: %+v, %+v", stats, far)
	}
	near := s.enqueue(after(3 * time.Second))
	past := s.enqueue(after(-time.Hour))
	s.wantEnd(past.ID, queue.StatusSuccessful, 1)
	if row := s.task(near.ID); row.Status != queue.StatusReady {
		t.Errorf("it is %s before its time", row.Status)
	}
	if row := s.wantEnd(near.ID, queue.StatusSuccessful, 1); row.StartedAt.Before(row.RunAfter) {
		t.Errorf("ran at %s, which is before %s", row.StartedAt, row.RunAfter)
	}
	if row := s.task(far.ID); row.Status != queue.StatusReady || row.Attempts != 0 {
		t.Errorf("%+v", row)
	}
}

// A task that was replaced is armed for its earlier time.
func TestPushReplacedTaskRunsAtItsEarlierTime(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	s := c.serve(t.TempDir(), c.env())
	const body = `{"task":"demo.echo","unique_key":"k","on_conflict":"replace"`
	id := s.enqueue(body + `,"args":1,"run_after":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`).ID
	if answer := s.do(http.MethodPost, "/tasks/enqueue/", body+`,"args":2}`); answer.status != http.StatusOK || !strings.Contains(answer.text, `"existed":true`) {
		t.Fatalf("%d %s", answer.status, answer.text)
	}
	if row := s.wantEnd(id, queue.StatusSuccessful, 1); string(row.ReturnValue) != "2" {
		t.Errorf("return_value %s", row.ReturnValue)
	}
	if n := len(c.Tasks()); n != 1 {
		t.Errorf("%d Cloud Tasks are left, want the one for the hour", n)
	}
}

func TestPushServerNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	procRun(t, t.TempDir(), []string{"TASKS_MODE=cloudtasks"}, "").wantRefusal(t, 2,
		"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL")
}

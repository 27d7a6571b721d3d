package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// staff admits the requests that a program's own session middleware has marked.
type staff struct{}

// forbidden is a refusal with another status than 401.
type forbidden struct{ error }

func (forbidden) HTTPStatus() int { return http.StatusForbidden }

func (staff) Authenticate(r *http.Request) error {
	switch r.Header.Get("X-User") { // set by a proxy that strips it from outside requests
	case "":
		return errors.New("log in first") // 401
	case "ann@example.com":
		return nil
	default:
		return forbidden{errors.New("only staff may enqueue tasks")}
	}
}

// A program that has a mux and users of its own adds /tasks/* to it. Deliveries come
// from Cloud Tasks, so "execute" has another Authenticator: in production an
// [oidc.Verifier], here a shared secret.
//
// [oidc.Verifier]: https://pkg.go.dev/github.com/claimcheck-go/claimcheck/oidc#Verifier
func Example() {
	ctx := context.Background()
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) { return "Hello " + name, nil })
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(greet)})
	if err != nil {
		log.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		log.Fatal(err)
	}
	tasks, err := httpapi.New(httpapi.Config{
		Client: client, Executor: executor,
		Auth:      staff{},
		RouteAuth: map[string]httpapi.Authenticator{"execute": httpapi.BearerToken("s3cret")},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/tasks/", tasks)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the program's own page")) })

	for _, user := range []string{"", "eve@example.com", "ann@example.com"} {
		r := httptest.NewRequest(http.MethodPost, "/tasks/enqueue/", strings.NewReader(`{"task":"greet","args":"world"}`))
		r.Header.Set("X-User", user)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 403
	// 201
}

// Require protects a program's own routes in the same way.
func ExampleRequire() {
	report := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("report")) })
	mux := http.NewServeMux()
	mux.Handle("/report", httpapi.Require(httpapi.AnyOf(
		httpapi.BearerToken("s3cret"),
		httpapi.HMAC("an0ther", 1<<20),
	))(report))

	r := httptest.NewRequest(http.MethodGet, "/report", nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	r.Header.Set("Authorization", "Bearer s3cret")
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 401
	// 200 report
}

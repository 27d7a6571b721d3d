package admin_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// sessions is a program's own login.
type sessions struct{}

func (sessions) Identify(r *http.Request) (admin.Person, error) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return admin.Person{}, admin.ErrForbidden
	}
	// Look the session up here, and what its user may do.
	return admin.Person{Name: cookie.Value, ReadOnly: cookie.Value != "ann"}, nil
}

// The pages in a program's own mux, below a path of its choice, for its own users.
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
	pages, err := admin.New(admin.Config{
		Client: client, Access: sessions{}, Prefix: "/back-office/tasks",
		Remedies: admin.Remedies{Schema: "Ask the platform team."},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/back-office/tasks/", pages)

	r := httptest.NewRequest(http.MethodGet, "/back-office/tasks/types", nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	r.AddCookie(&http.Cookie{Name: "session", Value: "ann"})
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "greet"))
	// Output:
	// 403
	// 200 true
}

// Users of Identity-Aware Proxy and, where it is not, holders of a token.
func ExampleFirstOf() {
	var proxy admin.Access = sessions{} // such as one that calls oidc.IAP
	access := admin.FirstOf(proxy, admin.Tokens("s3cret", "l00k-only"))

	_, err := access.Identify(httptest.NewRequest(http.MethodGet, "/admin/", nil))
	fmt.Println(err)
	// Output: log in first
}

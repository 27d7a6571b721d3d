package oidc_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/claimcheck-go/claimcheck/oidc"
)

func ExampleRequire() {
	v, err := oidc.New(oidc.Config{
		Audiences: []string{"https://api-123456789.europe-west1.run.app"},
		Emails:    []string{"tasks@my-project.iam.gserviceaccount.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/tasks/", oidc.Require(v)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := oidc.FromContext(r.Context())
		fmt.Fprintln(w, "called by", caller.Email)
	})))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/tasks/execute/1/", nil))
	fmt.Print(answer.Code, " ", answer.Body)
	// Output: 401 {"error":"no Authorization header"}
}

// A configuration that would admit every caller is refused.
func ExampleNew() {
	_, err := oidc.New(oidc.Config{Emails: []string{"tasks@my-project.iam.gserviceaccount.com"}})
	fmt.Println(err)
	// Output: oidc: Config.Audiences is empty: at least one is required
}

package oidc_test

import (
	"errors"
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

// The parts of a check, for a program that is not net/http middleware.
func ExampleVerifier_Authenticate() {
	v, err := oidc.New(oidc.Config{
		Audiences: []string{"https://api-123456789.europe-west1.run.app"},
		Emails:    []string{"tasks@my-project.iam.gserviceaccount.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/tasks/execute/1/", nil)
	request.Header.Set("Authorization", "Bearer not-a-token")
	err = v.Authenticate(request)
	var refused *oidc.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.HTTPStatus(), errors.Is(err, oidc.ErrUnauthenticated))
	}
	// Output: 401 true
}

// Behind Identity-Aware Proxy, which names the user in a header of its own.
func ExampleNewIAP() {
	proxy, err := oidc.NewIAP(oidc.IAPConfig{Audiences: []string{"/projects/123/locations/europe-west1/services/admin"}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = proxy.Identify(httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(err)
	// Output: the request did not come through Identity-Aware Proxy: it has no X-Goog-IAP-JWT-Assertion
}

// A configuration that would admit every caller is refused.
func ExampleNew() {
	_, err := oidc.New(oidc.Config{Emails: []string{"tasks@my-project.iam.gserviceaccount.com"}})
	fmt.Println(err)
	// Output: oidc: Config.Audiences is empty: at least one is required
}

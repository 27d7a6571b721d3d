package httpapi_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := httpapi.New(httpapi.Config{
		MaxBody: -1, RequestTimeout: -1, BusyStatus: 200, ExecutePath: "/x/",
		RouteAuth: map[string]httpapi.Authenticator{"nonsense": allowAll{}, "purge": nil},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"Config.Client is", "Config.Executor is", "Config.Auth is", "Config.MaxBody must", "Config.RequestTimeout must", "Config.BusyStatus must be a status code from 400 to 599, not 200",
		`Config.RouteAuth["nonsense"]: there is no such route`, `Config.RouteAuth["purge"] must not be nil`, "Config.ExecutePath must contain {task_id} once",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

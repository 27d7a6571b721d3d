package admin_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/admin"
)

func TestNewNamesEveryWrongField(t *testing.T) {
	_, err := admin.New(admin.Config{Prefix: "pages", SweepEvery: -1, Timeout: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Config.Client is", "Config.Access is", "Config.Prefix must begin with /", "Config.SweepEvery must", "Config.Timeout must"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

package googleapi

import "testing"

func TestDisabled(t *testing.T) {
	for text, want := range map[string]bool{
		"rpc error: code = PermissionDenied desc = Cloud Tasks API has not been used in project acme before or it is disabled. Enable it by …": true,
		"googleapi: Error 403: … reason: SERVICE_DISABLED":                                  true,
		"rpc error: code = PermissionDenied desc = The caller does not have permission":     false,
		"rpc error: code = NotFound desc = Requested entity was not found in project acme.": false,
	} {
		if got := Disabled(text); got != want {
			t.Errorf("%t for %s", got, text)
		}
	}
}

package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// A timestamp counts whole seconds, so that it is within the window for up to a
// second longer than 300: that long its signature must be remembered, however
// many others make room.
func TestSignatureIsRememberedAsLongAsItIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(900 * time.Millisecond)
		auth := HMAC("secret", 1000).(*signed)
		stamp := time.Now().Unix()
		request := func() *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/tasks/run/", nil)
			r.Header.Set(TimestampHeader, strconv.FormatInt(stamp, 10))
			r.Header.Set(SignatureHeader, Sign("secret", stamp, http.MethodPost, "/tasks/run/", nil))
			return r
		}
		if err := auth.Authenticate(request()); err != nil {
			t.Fatal(err)
		}
		for i := range maxRemembered - 1 { // others, which have come meanwhile
			auth.used[fmt.Sprint(i)] = time.Unix(stamp, 0).Add(signatureWindow)
		}
		time.Sleep(signatureWindow)
		if err := auth.once("somebody else's", time.Now().Add(signatureWindow), time.Now()); err != nil { // makes room
			t.Fatal(err)
		}
		if auth.Authenticate(request()) == nil {
			t.Error("the same signature was accepted twice")
		}
	})
}

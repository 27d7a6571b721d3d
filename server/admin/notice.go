package admin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// notice is the message of the page after a redirect.
type notice struct {
	Text string `json:"t"`
	Good bool   `json:"g"`
	URL  string `json:"u,omitempty"` // of what it is about
}

const (
	noticeCookie  = "claimcheck_notice"
	noticeAge     = 60   // seconds
	maxNoticeText = 2400 // bytes of its text: browsers drop cookies of more than 4 KB
)

// leaveNotice keeps a notice for the next page, in a cookie: no server-side
// state, so that any instance can show it. It is text, and shown as such.
func (h *handler) leaveNotice(v *visit, n notice) {
	n.Text = clip(n.Text, maxNoticeText)
	data, _ := json.Marshal(n) // it cannot fail
	h.setNotice(v, base64.RawURLEncoding.EncodeToString(data), noticeAge)
}

func (h *handler) setNotice(v *visit, value string, age int) {
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // Secure wherever the browser came by HTTPS; a local server has none
		Name: noticeCookie, Value: value, Path: h.cookiePath(), MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: v.secure(),
	})
}

// takeNotice returns the notice that was left for this page, once.
func (h *handler) takeNotice(v *visit) *notice {
	cookie, err := v.r.Cookie(noticeCookie)
	if err != nil || v.r.Method != http.MethodGet {
		return nil
	}
	h.setNotice(v, "", -1)
	var n notice
	data, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(data, &n) != nil || n.Text == "" {
		return nil
	}
	return &n
}

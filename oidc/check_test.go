package oidc

import "testing"

func TestCheckKeysFetchesAndKeepsNothing(t *testing.T) {
	e := newEndpoint()
	v := newVerifier(t, e)
	if url, keys, err := v.CheckKeys(t.Context()); err != nil || keys != 1 || url != googleCertsURL {
		t.Errorf("%s: %d keys, %v", url, keys, err)
	}
	if err := verifyNew(t, v); err != nil || e.requests.Load() != 2 {
		t.Errorf("%v after %d fetches", err, e.requests.Load())
	}
	e.set(func(e *endpoint) { e.answer = down })
	if _, _, err := v.CheckKeys(t.Context()); err == nil {
		t.Error("an endpoint that is down was not noticed")
	}
}

// Package oidc authenticates callers: it verifies the OpenID Connect tokens that
// Cloud Tasks and Cloud Scheduler put into their requests.
//
// On the path
//
//	Enqueue → row → Cloud Tasks → POST /tasks/execute/ID/ → oidc → executor
//
// it is the gate in front of the executor. A request passes only with a token that
// Google signed with RS256, for one of the configured audiences, in the name of one
// of the configured accounts, within its time. Everything else about a request
// (X-CloudTasks-* and other headers, source address, Host) is ignored, because
// anyone can send it.
//
// The signature is checked by google.golang.org/api/idtoken, which by itself is not
// enough: it accepts any issuer and account, tokens from the future or for ten years,
// tokens of other Google products, and it fetches Google's keys without a limit.
// So a [Verifier] checks the shape and the claims of a token itself, and passes idtoken
// the one public key that the token names, from a cache that outlasts an outage of
// the key endpoint.
//
// It fails closed: [New] refuses a configuration without audience or account, and
// every internal failure is an error, never an acceptance.
package oidc

// Package detect finds out where the process runs and what it is called there:
// the platform (Cloud Run service, job or worker pool, App Engine, or none of
// them), the project, the Cloud Tasks location, the host under which Cloud Tasks
// can reach the handler, and the default service account.
//
// On the path
//
//	Enqueue → row → Cloud Tasks → POST /tasks/execute/ID/ → oidc → executor
//
// it supplies what Enqueue needs to address a task (project, location, URL,
// signing account) and the default audience that package oidc asks for. It is
// read once at start; what the program is given explicitly wins over it, so every
// error says how to give it.
//
// Two sources are asked, in this order: environment variables, then the metadata
// server. The metadata server is asked only when a variable says that this is
// Google Cloud (or GCE_METADATA_HOST points at a substitute), because elsewhere
// the request hangs; a [Detector] spends at most 1.5 s on it in total and asks
// for each path once. Nothing is ever taken from the Host or X-Forwarded-*
// headers of a request: anyone can send those.
package detect

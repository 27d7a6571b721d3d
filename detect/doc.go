// Package detect detects the environment of a process on Google Cloud:
// the platform (Cloud Run service, job or worker pool, App Engine, or none of
// them), the project, the Cloud Tasks location, the host under which Cloud Tasks
// can reach the handler, and the default service account.
//
// On the path
//
//	Enqueue → row → Cloud Tasks → POST /tasks/execute/ID/ → oidc → executor
//
// it supplies what Enqueue needs to address a task (project, location, URL,
// signing account) and the default audience that package oidc requires. A program
// reads it once at start; what is configured takes precedence, so every error says
// how to configure it.
//
// There are two sources, in this order: environment variables, then the metadata
// server. The metadata server is called only when a variable says that this is
// Google Cloud (or GCE_METADATA_HOST points at a substitute), because elsewhere
// the request hangs; a [Detector] spends at most 1.5 s on it in total and requests
// each path once. Nothing is ever taken from the Host or X-Forwarded-*
// headers of a request: anyone can send those.
package detect

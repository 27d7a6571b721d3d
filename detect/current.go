package detect

import "context"

// The functions below ask about this process's own environment. Each call starts
// afresh; to ask several questions, make a [Detector], which caches.

// IsCloudRun reports whether this process runs on Cloud Run: in a service, a job or
// a worker pool.
func IsCloudRun() bool { return New(Config{}).Platform().IsCloudRun() }

// IsAppEngine reports whether this process runs on App Engine.
func IsAppEngine() bool { return New(Config{}).Platform() == AppEngine }

// Project is [Detector.Project] for this process.
func Project(ctx context.Context) (Found, error) { return New(Config{}).Project(ctx) }

// Location is [Detector.Location] for this process.
func Location(ctx context.Context) (Found, error) { return New(Config{}).Location(ctx) }

// HandlerHost is [Detector.HandlerHost] for this process.
func HandlerHost(ctx context.Context) (Found, error) { return New(Config{}).HandlerHost(ctx) }

// ServiceAccount is [Detector.ServiceAccount] for this process.
func ServiceAccount(ctx context.Context) (Found, error) { return New(Config{}).ServiceAccount(ctx) }

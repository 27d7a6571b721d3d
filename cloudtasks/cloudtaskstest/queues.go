package cloudtaskstest

import (
	"context"
	"math"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What a queue is created with when nothing is said, and the service's limits.
const (
	defaultRate        = 500
	defaultConcurrency = 1000
	maxConcurrency     = 5000
	defaultMaxAttempts = 100
	defaultDoublings   = 16
	defaultMinBackoff  = 100 * time.Millisecond
	defaultMaxBackoff  = time.Hour
	maxBurst           = 100

	queueNameHeldFor = 3 * 24 * time.Hour // after DeleteQueue
)

// queue is one queue with its tasks. Server.mu guards it.
type queue struct {
	server   *Server
	settings *cloudtaskspb.Queue
	limits   limits
	tasks    map[string]*task
	waiting  taskHeap // by the time of their next attempt
	byAge    []*task  // oldest first, gone ones included
	running  int      // deliveries in flight

	wake   chan struct{} // holds one value when there is something to look at
	cancel context.CancelFunc
}

// addQueue checks the settings, fills them in, and starts the queue. It is
// called with s.mu held.
func (s *Server) addQueue(settings *cloudtaskspb.Queue) (*queue, error) {
	if !queueNamePattern.MatchString(settings.GetName()) {
		return nil, errQueueName
	}
	if _, ok := s.queues[settings.GetName()]; ok {
		return nil, status.Error(codes.AlreadyExists, "Queue already exists")
	}
	if at, ok := s.gone[settings.GetName()]; ok && time.Since(at) < queueNameHeldFor {
		return nil, status.Error(codes.FailedPrecondition, "The queue cannot be created because a queue with this name existed too recently.")
	}
	settings = proto.CloneOf(settings)
	if err := fillQueue(settings); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	q := &queue{
		server:   s,
		settings: settings,
		limits:   newLimits(settings.GetRateLimits()),
		tasks:    map[string]*task{},
		wake:     make(chan struct{}, 1),
		cancel:   cancel,
	}
	s.queues[settings.GetName()] = q
	s.wg.Go(func() { q.run(ctx) })
	return q, nil
}

// fillQueue checks the settings of a new or updated queue, and fills in what is
// unset.
func fillQueue(settings *cloudtaskspb.Queue) error {
	if settings.GetHttpTarget() != nil || settings.GetAppEngineRoutingOverride() != nil {
		return status.Error(codes.Unimplemented, "cloudtaskstest: http_target and app_engine_routing_override are not built")
	}
	if settings.GetState() == cloudtaskspb.Queue_STATE_UNSPECIFIED {
		settings.State = cloudtaskspb.Queue_RUNNING
	}
	if settings.GetRateLimits() == nil {
		settings.RateLimits = &cloudtaskspb.RateLimits{}
	}
	limits := settings.GetRateLimits()
	switch {
	case limits.GetMaxDispatchesPerSecond() < 0:
		return invalid("RateLimits.maxDispatchesPerSecond cannot be negative.")
	case limits.GetMaxDispatchesPerSecond() > defaultRate:
		return invalid("RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
	case limits.GetMaxConcurrentDispatches() < 0:
		return invalid("RateLimits.maxConcurrentDispatches cannot be negative.")
	case limits.GetMaxConcurrentDispatches() > maxConcurrency:
		return invalid("RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
	}
	if limits.GetMaxDispatchesPerSecond() == 0 {
		limits.MaxDispatchesPerSecond = defaultRate
	}
	if limits.GetMaxConcurrentDispatches() == 0 {
		limits.MaxConcurrentDispatches = defaultConcurrency
	}
	// Output only. Assumed: as large as the rate, within 1 and 100; the service
	// says only that it picks an appropriate value.
	limits.MaxBurstSize = int32(min(maxBurst, math.Ceil(limits.GetMaxDispatchesPerSecond())))

	if settings.GetRetryConfig() == nil {
		settings.RetryConfig = &cloudtaskspb.RetryConfig{}
	}
	return fillRetry(settings.GetRetryConfig())
}

// fillRetry does the same for the retry config of a queue or of a task.
func fillRetry(retry *cloudtaskspb.RetryConfig) error {
	switch {
	case retry.GetMaxAttempts() < -1:
		return invalid("RetryConfig.maxAttempts must be greater or equal to -1.")
	case retry.GetMaxDoublings() < 0:
		return invalid("RetryConfig.maxDoublings cannot be negative.")
	case retry.GetMinBackoff().AsDuration() < 0:
		return invalid("RetryConfig.minBackoff cannot be negative.")
	case retry.GetMaxBackoff().AsDuration() < 0:
		return invalid("RetryConfig.maxBackoff cannot be negative.")
	case retry.GetMaxRetryDuration().AsDuration() < 0:
		return invalid("RetryConfig.maxRetryDuration cannot be negative.")
	}
	if retry.GetMaxAttempts() == 0 {
		retry.MaxAttempts = defaultMaxAttempts
	}
	if retry.GetMaxDoublings() == 0 {
		retry.MaxDoublings = defaultDoublings
	}
	if retry.GetMinBackoff() == nil {
		retry.MinBackoff = durationpb.New(defaultMinBackoff)
	}
	if retry.GetMaxBackoff() == nil {
		retry.MaxBackoff = durationpb.New(max(defaultMaxBackoff, retry.GetMinBackoff().AsDuration()))
	}
	if retry.GetMinBackoff().AsDuration() > retry.GetMaxBackoff().AsDuration() {
		return invalid("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")
	}
	return nil
}

// poke makes the queue look at its tasks again.
func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// clear removes all tasks.
func (q *queue) clear() {
	for _, t := range q.tasks {
		q.remove(t)
	}
}

package system

import (
	"context"
	"fmt"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// handlerURL is where Cloud Tasks would deliver to.
const handlerURL = audience + "/tasks/execute/"

// dispatcher is the part of the product that EnqueueMany calls once the rows are
// stored.
// With batch it makes calls of BatchCreateTasks, as with TASKS_BATCH_CREATE.
func dispatcher(name string, batch bool) System {
	return System{Name: name, Server: CloudTasks, Open: func(ctx context.Context, t Target) (Session, error) {
		client, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: t.URL})
		if err != nil {
			return nil, err
		}
		d, err := cloudtasks.New(client, cloudtasks.Config{
			Project: "bench", Location: "europe-west1", HandlerURL: handlerURL + "{task_id}/", ServiceAccountEmail: account, BatchCreate: batch,
		})
		return &dispatcherSession{creator{client}, d, batch}, err
	}}
}

// bareClient is Google's client, called by hand.
func bareClient() System {
	return System{Name: "bare", Server: CloudTasks, Open: func(ctx context.Context, t Target) (Session, error) {
		client, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: t.URL})
		return &clientSession{creator{client}}, err
	}}
}

type creator struct{ client *apiv2.Client }

// Close ends the session.
func (c creator) Close(context.Context) error { return c.client.Close() }

// Forget deletes what was created, so that the fake does not grow.
func (c creator) Forget(ctx context.Context) error {
	_, err := c.client.PurgeQueue(ctx, &cloudtaskspb.PurgeQueueRequest{Name: server.CloudTasksQueue})
	return err
}

type dispatcherSession struct {
	creator
	dispatcher *cloudtasks.Dispatcher
	batch      bool
}

// Concurrencies are those to try: only the Dispatcher's own.
func (*dispatcherSession) Concurrencies() []int { return []int{0} }

// Create creates n Cloud Tasks in one call.
func (d *dispatcherSession) Create(ctx context.Context, n, _ int) error {
	tickets := make([]queue.Ticket, n)
	for i := range tickets {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		tickets[i] = queue.Ticket{ID: id, Queue: "default", Timeout: time.Minute}
	}
	if d.batch {
		return d.dispatcher.DispatchBatch(ctx, tickets...)
	}
	return d.dispatcher.Dispatch(ctx, tickets...)
}

type clientSession struct{ creator }

// Concurrencies are those to try: the Dispatcher's. Both dial alike, and so have the
// same number of connections.
func (*clientSession) Concurrencies() []int { return []int{32} }

// Create creates n Cloud Tasks, so many at a time.
func (c *clientSession) Create(ctx context.Context, n, concurrency int) error {
	group, ctx := errgroup.WithContext(ctx)
	for lane := range concurrency {
		group.Go(func() error {
			for range (n + lane) / concurrency { // these add up to n
				if err := c.create(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *clientSession) create(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	// The service refuses calls with a deadline of more than 30 s.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err = c.client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{
		Parent: server.CloudTasksQueue,
		Task: &cloudtaskspb.Task{
			DispatchDeadline: durationpb.New(time.Minute),
			MessageType: &cloudtaskspb.Task_HttpRequest{HttpRequest: &cloudtaskspb.HttpRequest{
				Url: fmt.Sprintf("%s%s/?fail_on_error=true", handlerURL, id), HttpMethod: cloudtaskspb.HttpMethod_POST,
				AuthorizationHeader: &cloudtaskspb.HttpRequest_OidcToken{OidcToken: &cloudtaskspb.OidcToken{
					ServiceAccountEmail: account, Audience: audience,
				}},
			}},
		},
	})
	return err
}

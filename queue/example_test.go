package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// inMemory is a store for the examples.
func inMemory(ctx context.Context) *sqlitestore.Store {
	return must(sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true}))
}

// exampleClient makes a client for workers that pull, and an executor for its tasks.
func exampleClient(ctx context.Context, tasks ...queue.Definition) (*queue.Client, *queue.Executor) {
	client := must(queue.NewClient(queue.Config{
		Store: inMemory(ctx), Registry: queue.NewRegistry(tasks...), Logger: slog.New(slog.DiscardHandler),
	}))
	return client, must(queue.NewExecutor(client, queue.ExecutorConfig{}))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// Email is what the mail tasks of the examples take.
type Email struct {
	UserID int    `json:"user_id"`
	To     string `json:"to"`
}

// A task is a name and a function. A registry lists the tasks of a program; with a
// store it makes a client. StartLocal also runs the tasks, in this process.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	greet := queue.NewTask("greet", func(_ context.Context, name string) (string, error) {
		return "Hello, " + name + "!", nil
	})
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(greet), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	handle, err := greet.Enqueue(ctx, client, "world")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greet.Wait(ctx, client, handle.ID))
	// Output: Hello, world! <nil>
}

func ExampleNewTask() {
	send := queue.NewTask("emails.send", func(ctx context.Context, email Email) (string, error) {
		info, _ := queue.InfoFrom(ctx)
		return fmt.Sprintf("attempt %d to %s", info.Attempt, email.To), nil
	}, queue.OnQueue("emails"), queue.MaxAttempts(8), queue.Timeout(30*time.Second))
	registry := queue.NewRegistry(send)
	for _, task := range registry.Tasks() {
		fmt.Println(task.Name, task.Queue, task.MaxAttempts)
	}
	// Output: emails.send emails 8
}

func ExampleNewTaskFunc() {
	ctx := context.Background()
	send := queue.NewTaskFunc("emails.send", func(_ context.Context, email Email) error {
		fmt.Println("sent to", email.To)
		return nil
	})
	client, executor := exampleClient(ctx, send)
	handle := must(send.Enqueue(ctx, client, Email{To: "ada@example.com"}))
	run := must(executor.RunByID(ctx, handle.ID, queue.RunOptions{}))
	fmt.Println(run.Row.Status, string(run.Row.ReturnValue))
	// Output:
	// sent to ada@example.com
	// SUCCESSFUL null
}

// Declare separates the task, which other packages enqueue, from its function,
// which needs dependencies.
func ExampleDeclare() {
	ctx := context.Background()
	double := queue.Declare[int, int]("double")
	factor := 2 // a dependency
	client, executor := exampleClient(ctx, double.Handle(func(_ context.Context, n int) (int, error) { return factor * n, nil }))

	handle := must(double.Enqueue(ctx, client, 21))
	must(executor.ProcessOne(ctx, queue.From{}))
	fmt.Println(double.Result(ctx, client, handle.ID))
	// Output: 42 <nil>
}

// Options of one call override those of the task.
func ExampleTask_Enqueue() {
	ctx := context.Background()
	send := queue.Declare[Email, any]("emails.send", queue.OnQueue("emails"))
	client, _ := exampleClient(ctx, send)
	id := uuid.MustParse("01980000-0000-7000-8000-000000000001") // of the request that leads to this task

	handle := must(send.Enqueue(ctx, client, Email{UserID: 7}, queue.Priority(10), queue.Delay(time.Hour), queue.WithID(id)))
	fmt.Println(handle.Row.Status, handle.Row.Queue, handle.Row.Priority, handle.Existed)

	handle = must(send.Enqueue(ctx, client, Email{UserID: 7}, queue.WithID(id))) // the request is repeated
	fmt.Println(handle.Existed)

	_, err := send.Enqueue(ctx, client, Email{UserID: 8}, queue.WithID(id))
	fmt.Println(errors.Is(err, queue.ErrIDConflict))
	_, err = send.Enqueue(ctx, client, Email{UserID: 8}, queue.Priority(1000))
	fmt.Println(errors.Is(err, queue.ErrInvalid), err)
	// Output:
	// READY emails 10 false
	// true
	// true
	// true priority must be a whole number from -100 to 100, not 1000
}

func ExampleTask_EnqueueMany() {
	ctx := context.Background()
	send := queue.Declare[Email, any]("emails.send")
	client, _ := exampleClient(ctx, send)
	handles := must(send.EnqueueMany(ctx, client, []Email{{UserID: 1}, {UserID: 2}, {UserID: 3}}, queue.Priority(-10)))
	fmt.Println(len(handles), string(handles[2].Row.Args))
	// Output: 3 {"user_id":3,"to":""}
}

// Different tasks, or options for each, are stored in one transaction by name.
func ExampleClient_EnqueueMany() {
	ctx := context.Background()
	client, _ := exampleClient(ctx, queue.Declare[Email, any]("emails.send"), queue.Declare[int, any]("users.index"))
	_, err := client.EnqueueMany(ctx,
		queue.Request{Task: "emails.send", Args: Email{UserID: 7}},
		queue.Request{Task: "users.index", Args: "seven"},
	)
	var refused *queue.RequestError
	if errors.As(err, &refused) {
		fmt.Println(refused.Index, err)
	}
	// Output: 1 args of users.index: cannot use a JSON string as int
}

func ExampleTask_Result() {
	ctx := context.Background()
	divide := queue.NewTask("divide", func(_ context.Context, n int) (int, error) {
		if n == 0 {
			return 0, errors.New("division by zero")
		}
		return 100 / n, nil
	}, queue.MaxAttempts(1))
	client, executor := exampleClient(ctx, divide)
	first := must(divide.Enqueue(ctx, client, 4))
	second := must(divide.Enqueue(ctx, client, 0))

	_, err := divide.Result(ctx, client, first.ID)
	fmt.Println(errors.Is(err, queue.ErrPending))
	must(executor.Process(ctx, 10, queue.From{}))
	fmt.Println(divide.Result(ctx, client, first.ID))
	_, err = divide.Result(ctx, client, second.ID)
	var failed *queue.FailedError
	fmt.Println(errors.As(err, &failed), failed.Row.Errors[0].Message)
	// Output:
	// true
	// 25 <nil>
	// true division by zero
}

func ExampleTask_Wait() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	slow := queue.Declare[int, int]("slow") // another program runs it
	client, _ := exampleClient(context.Background(), slow)
	handle := must(slow.Enqueue(context.Background(), client, 1))
	_, err := slow.Wait(ctx, client, handle.ID)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// A worker runs everything that is due, and ends. With Continuous it keeps polling
// until its context ends or Shutdown is called.
func ExampleExecutor_Work() {
	ctx := context.Background()
	double := queue.NewTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	client, executor := exampleClient(ctx, double)
	must(double.EnqueueMany(ctx, client, []int{1, 2, 3}))
	result := must(executor.Work(ctx, queue.WorkConfig{}))
	fmt.Println(result.Runs, result.Failed)

	if err := executor.Shutdown(ctx, time.Second); err != nil {
		log.Fatal(err)
	}
	// Output: 3 0
}

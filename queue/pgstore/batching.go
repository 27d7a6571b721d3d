package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore/internal/batch"
)

const (
	// insertConcurrency and changeConcurrency are how many statements of a kind run at
	// once. With one, callers that only insert would wait for the disk twice.
	// Between claims and finishes tasks run; with two, they cost half as much again.
	insertConcurrency = 2
	changeConcurrency = 1
	// extraConcurrency is the number of stalled statements that others replace.
	extraConcurrency = 4
	// batchLimit is the largest number of calls that one statement answers.
	batchLimit = 500
	// batchPatience is the time after which requests that are not in a batched statement
	// stop waiting for it. Its connection may be dead, which is not detected before
	// batchTimeout.
	batchPatience = time.Second
	// batchTimeout bounds a batched statement, which no caller's context cancels. Its
	// callers then have a statement of their own, on other connections, and must have
	// time left for it: usually they have ten seconds, and the end of a run is retried
	// for twenty. An insert can be repeated only here, since an Enqueue that is repeated
	// creates another task. What was stored although the answer was lost is not stored
	// twice: a finish is recognized by its claim, and a row by its ID. A claim is not
	// repeated here (mayHaveClaimed): its caller claims again, under another claim ID.
	batchTimeout = 4 * time.Second
)

var defaultLimits = batch.Limits{
	Single: true, Concurrency: changeConcurrency, ExtraConcurrency: extraConcurrency,
	Requests: batchLimit, Bytes: chunkBytes, Patience: batchPatience, Timeout: batchTimeout,
}

// setBatching makes the batchers of concurrent calls.
func (s *Store) setBatching(limits batch.Limits) {
	s.claims = batch.New(batch.Config[claimOf, *queue.Row]{
		Op: "claim task", One: s.claimOne, Try: s.tryClaim, Many: s.claimMany, Undo: s.undoClaim,
		Size: func(claimOf) int { return 0 }, AffectsAll: mayHaveClaimed, Limits: limits,
	})
	s.finishes = batch.New(batch.Config[finishOf, time.Time]{
		Op: "finish task", One: s.finishOne, Try: s.tryFinish, Many: s.finishMany,
		Size: finishSize, AffectsAll: affectsAll, Limits: limits,
	})
	limits.Concurrency = insertConcurrency
	s.inserts = batch.New(batch.Config[*queue.NewRow, inserted]{
		Op: "insert tasks", One: s.insertOne, Try: s.tryInsert, Repeat: s.insertAgain, Many: s.insertMany,
		Size: func(row *queue.NewRow) int { return len(row.Args) }, AffectsAll: affectsAll, Limits: limits,
	})
}

func finishSize(f finishOf) int { return len(f.ReturnValue) + historySize(f.Errors) }

// historySize estimates the encoded size of a list of errors, which is not encoded
// twice for it.
func historySize(history []queue.AttemptError) (size int) {
	const names = 160 // of the fields, and the times
	for _, e := range history {
		size += names + len(e.ExceptionClassPath) + len(e.Message) + len(e.Traceback) + len(e.WorkerID)
	}
	return size
}

// affectsAll reports whether err affects every request in a batch: the database is
// down, closed or has no tables. A single request may have caused any other error, by
// its values or by the lock that it waits for.
func affectsAll(err error) bool {
	return !errors.Is(err, queue.ErrContended) && (errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrClosed) || errors.Is(err, queue.ErrSchema))
}

// mayHaveClaimed is affectsAll for claims: it also reports true if the batch has claimed
// rows, but did not return them. A repetition of such a request would claim the row again,
// under the same claim ID, if the lease of the first claim had expired and the row had been
// made READY.
func mayHaveClaimed(err error) bool {
	return affectsAll(err) || hasClaimed(err)
}

const undoTimeout = 10 * time.Second

// undoClaim releases a claim whose caller has left, so that its function has not
// begun. If that fails, the lease expires.
func (s *Store) undoClaim(_ claimOf, row *queue.Row) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
		defer cancel()
		_ = s.Unclaim(ctx, row.Claim())
	}()
}

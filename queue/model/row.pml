/*
 * The row, the world around it, the properties, and the guards.
 */
#ifndef WORKERS
#define WORKERS 2 /* processes that run tasks; 2 or 3 */
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif
#ifndef MAX_INTERRUPTIONS
#define MAX_INTERRUPTIONS 1 /* queue.MaxInterruptions is 20 */
#endif
#ifndef FAULTS
#define FAULTS 2 /* crashes, lost answers and messages, refused creates, snoozes: together at most */
#endif
#define MAX_TICKETS 2

/* The row: what the protocol reads of claimcheck_tasks. */
mtype:state = { ABSENT, READY, RUNNING, SUCCESSFUL, FAILED, CANCELLED };
mtype:state status = ABSENT;
byte attempts;
byte interruptions;
byte claim;  /* claim_id; 0 is NULL */
bit expired; /* lease_expires_at <= now() */
bit overdue; /* dispatch_due_at <= now() */
bit early;   /* run_after > now() */

/* The row before its latest claims, which a crash of the database may undo: what
 * they wrote need not be on the disk. Any other write to the row is, and what was
 * written before it. */
bit undoable;
mtype:state undone_status = ABSENT;
byte undone_attempts, undone_claim, undone_holder;

/* The world around it. */
byte tickets;         /* Cloud Tasks that exist; all say the same: the row's ID */
byte faults = FAULTS; /* how many may still happen */
byte mine[WORKERS];   /* the claim that a worker believes to hold; 0: none */
bit lost[WORKERS];    /* its function's context has ended with ErrLeaseLost */
byte seen;            /* the claim on the row when the sweeper read it */

/*
 * The properties. What they speak of beyond the row, no code knows.
 */
byte holder;   /* the claim that holds the row; 0: none */
byte finisher; /* the claim that has finished it */
bit spent;     /* the last attempt was claimed, and not given back */
byte ledger;   /* what functions have written in the transaction of CompleteTx */
hidden mtype:state was;
bit two_claims_finished, final_row_changed, lost_claim_wrote, live_claim_robbed, attempts_exceeded, last_attempt_repeated, ledger_wrong,
	foreign_end_taken_for_own, own_end_denied, message_thrown_away, message_before_row;

#define FINAL(s) (s == SUCCESSFUL || s == FAILED || s == CANCELLED)
#define VIOLATED_IF(property, condition) property = (condition); assert(!property)

/* What has been written is on the disk. */
inline durable() {
	undoable = 0; undone_status = ABSENT; undone_attempts = 0; undone_claim = 0; undone_holder = 0
}

/* Every statement is between these two. */
inline begin() { was = status }

inline commit() {
	VIOLATED_IF(final_row_changed, FINAL(was) && status != was);
	VIOLATED_IF(attempts_exceeded, attempts > MAX_ATTEMPTS);
	VIOLATED_IF(ledger_wrong, ledger > 1 || FINAL(status) && ledger != (status == SUCCESSFUL));
	if
	:: status != RUNNING -> holder = 0; expired = 0
	:: else
	fi;
	if
	:: FINAL(status) -> attempts = 0; interruptions = 0; overdue = 0; early = 0; spent = 0 /* read by nobody; fewer states */
	:: else
	fi
}

/* A write under w's claim takes effect: is it still the row's claim? */
inline writes(w) { VIOLATED_IF(lost_claim_wrote, holder != mine[w]); durable() }

/*
 * The guards. Each represents the code that it names; a macro takes it out.
 */

/* A lease that has not ended protects the claim: claimQuery in
 * queue/pgstore/claim.go, "lease_expires_at <= now()"; WhyNotClaimed in
 * queue/claimrules.go, ErrLeased. */
#ifdef NO_LEASE_CHECK
#define LEASED false
#else
#define LEASED (status == RUNNING && !expired)
#endif

/* Attempts are bounded: claimQuery, "attempts < max_attempts"; WhyNotClaimed,
 * ErrWorkerLost. */
#ifdef NO_ATTEMPT_LIMIT
#define ATTEMPTS_GONE false
#else
#define ATTEMPTS_GONE (attempts >= MAX_ATTEMPTS)
#endif

/* A claim of the last attempt waits for the disk: durable in
 * queue/pgstore/claim.go. */
#ifdef NO_DURABLE_LAST
#define WAITS_FOR_DISK false
#else
#define WAITS_FOR_DISK (attempts >= MAX_ATTEMPTS)
#endif

/* The fence is a fresh random ID for each claim (Executor.claim in
 * queue/claim.go; setClaimed), not the number of the attempt, which can be
 * released. */
#ifdef ATTEMPT_NUMBER_AS_FENCE
byte token[WORKERS];
#define TOKEN(w) token[w]
#else
#define TOKEN(w) mine[w]
#endif
#define UNDER_CLAIM(w) (status == RUNNING && claim == TOKEN(w))

/* Finish, Retry, Release, Unclaim and Heartbeat ask for it: underClaim in
 * queue/pgstore/finish.go, heartbeatQuery in heartbeat.go, and the same in
 * queue/internal/sqlstore. */
#ifdef NO_FINISH_FENCE
#define MAY_FINISH(w) true
#else
#define MAY_FINISH(w) UNDER_CLAIM(w)
#endif
#ifdef NO_RETRY_FENCE
#define MAY_RETRY(w) true
#else
#define MAY_RETRY(w) UNDER_CLAIM(w)
#endif
#ifdef NO_RELEASE_FENCE
#define MAY_RELEASE(w) true
#else
#define MAY_RELEASE(w) UNDER_CLAIM(w)
#endif
#ifdef NO_HEARTBEAT_FENCE
#define MAY_RENEW(w) (status == RUNNING)
#else
#define MAY_RENEW(w) UNDER_CLAIM(w)
#endif

/* A finish whose answer was lost is repeated, and recognises its own end by the
 * claim ID that stays on the row: missed in queue/pgstore/finish.go; ifCompleted
 * in queue/tx.go. */
#ifdef NO_REPEAT
#define OWN_END(w) false
#else
#define OWN_END(w) (claim == TOKEN(w) && FINAL(status))
#endif

/* Whoever takes a row from its claim takes the claim ID along, so that a late
 * worker does not take that end for its own: cancelQuery, loseWorkerQuery and
 * setReclaimed in queue/pgstore. */
#ifdef KEEP_CLAIM_ID
#define take_claim_id() skip
#else
#define take_claim_id() claim = 0
#endif

/* What the sweeper has read it looks at again when it writes: reclaimQuery in
 * queue/pgstore/promote.go, loseWorkerQuery in claim.go. */
#ifdef STALE_SWEEPER
#define STILL_LOST true
#else
#define STILL_LOST (status == RUNNING && expired && claim == seen)
#endif

/* The function's own writes commit with the finish: CompleteTx in
 * queue/tx.go, FinishTx in queue/pgstore/tx.go. */
#ifdef FINISH_OUTSIDE_TX
#define write_ledger(end) skip
#else
#define write_ledger(end) ledger = ledger + (end == SUCCESSFUL)
#endif

/* While the row runs elsewhere a delivery is answered 409, and so the message
 * kept: refusals in server/internal/api/answer.go, ErrLeased. */
#ifdef NO_409
#define KEEPS_DUPLICATE false
#else
#define KEEPS_DUPLICATE true
#endif

/* So it is with 503 if there is no ticket for the time that a row waits for:
 * refusals, ErrNotArmed. */
#ifdef NO_503
#define KEEPS_UNARMED false
#else
#define KEEPS_UNARMED true
#endif

/*
 * The protocol of one row, for the model checker Spin: what workers, Cloud
 * Tasks, the sweeper, an operator and whoever enqueues may do to it, in any order
 * and with crashes between any two steps. README.md says how to read and run it.
 *
 * A d_step is one SQL statement (or transaction); everything between two of them
 * may be interleaved. Time is events: a lease ends, a row becomes overdue or due,
 * at any moment (process Time). A zombie is a worker that is not scheduled
 * while its lease ends.
 *
 * Each guard of the code stands here as a macro, and -DNO_... takes it out.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif
#ifndef MAX_INTERRUPTIONS
#define MAX_INTERRUPTIONS 1 /* queue.MaxInterruptions is 20 */
#endif
#ifndef FAULTS
#define FAULTS 2 /* crashes, lost answers and messages, refused creates, snoozes */
#endif
#define MAX_TICKETS 2

/* The row: the columns of claimcheck_tasks that the protocol reads. */
mtype:state = { ABSENT, READY, RUNNING, SUCCESSFUL, FAILED, CANCELLED };
mtype:state status = ABSENT;
byte attempts;      /* attempts */
byte interruptions; /* interruptions */
byte claim;         /* claim_id; 0 is NULL */
bit expired;        /* lease_expires_at <= now() */
bit overdue;        /* dispatch_due_at <= now() */
bit early;          /* run_after > now() */

/* The rest of the world. */
byte tickets;         /* Cloud Tasks that exist; all say the same: this row's ID */
byte faults = FAULTS; /* how many may still happen */
byte mine[WORKERS];   /* the claim that a worker believes to hold; 0: none */
byte seen;            /* the claim on the row that the sweeper has read */

/* Ghosts: what the properties speak of, and no code knows. */
byte holder;   /* the claim that holds the row; 0: none */
byte finisher; /* the claim that has finished it */
byte ledger;   /* rows that functions have written in the transaction of CompleteTx */
hidden mtype:state was;
bit two_claims_finished, final_row_changed, lost_claim_wrote, live_claim_robbed,
	attempts_exceeded, ledger_wrong, foreign_end_taken_for_own, own_end_denied, message_thrown_away;

#define FINAL(s) (s == SUCCESSFUL || s == FAILED || s == CANCELLED)
#define VIOLATED_IF(property, condition) property = (condition); assert(!property)

inline begin() { was = status }

/* What holds after every statement. */
inline commit() {
	VIOLATED_IF(final_row_changed, FINAL(was) && status != was);
	VIOLATED_IF(attempts_exceeded, attempts > MAX_ATTEMPTS);
	VIOLATED_IF(ledger_wrong, ledger > 1 || FINAL(status) && ledger != (status == SUCCESSFUL));
	if
	:: status != RUNNING -> holder = 0; expired = 0
	:: else
	fi;
	if
	:: FINAL(status) -> overdue = 0; early = 0
	:: else
	fi
}

/*
 * The guards.
 */

/* Claim: queue/pgstore/claim.go claimQuery "lease_expires_at <= now()";
 * queue/claim.go WhyNotClaimed, ErrLeased. */
#ifdef NO_LEASE_CHECK
#define LEASED false
#else
#define LEASED (status == RUNNING && !expired)
#endif

/* Claim: claimQuery "attempts < max_attempts"; WhyNotClaimed, ErrWorkerLost. */
#ifdef NO_ATTEMPT_LIMIT
#define ATTEMPTS_GONE false
#else
#define ATTEMPTS_GONE (attempts >= MAX_ATTEMPTS)
#endif

/* The fence is a fresh random claim ID: queue/executor.go claim, and
 * setClaimed; it is not the number of the attempt, which can be given back. */
#ifdef ATTEMPT_NUMBER_AS_FENCE
byte token[WORKERS];
#define TOKEN(w) token[w]
#else
#define TOKEN(w) mine[w]
#endif
#define UNDER_CLAIM(w) (status == RUNNING && claim == TOKEN(w))

/* queue/pgstore/finish.go underClaim in finishQuery, retryQuery, releaseQuery
 * and heartbeatQuery; queue/sqlstore/finish.go underClaim and Heartbeat. */
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

/* A finish that is repeated because its answer was lost recognises itself by
 * the claim ID that stays on the row: queue/pgstore/finish.go missed. */
#ifdef NO_REPEAT
#define OWN_END(w) false
#else
#define OWN_END(w) (claim == TOKEN(w) && FINAL(status))
#endif

/* Whoever takes a row from its claim takes the claim ID along, so that the late
 * worker does not take that end for its own: queue/pgstore cancelQuery,
 * loseWorkerQuery, setReclaimed. */
#ifdef KEEP_CLAIM_ID
#define take_claim_id() skip
#else
#define take_claim_id() claim = 0
#endif

/* The sweeper's updates look again at what it has read: reclaimQuery and
 * loseWorkerQuery, in queue/pgstore/promote.go and claim.go. */
#ifdef STALE_SWEEPER
#define STILL_LOST true
#else
#define STILL_LOST (status == RUNNING && expired && claim == seen)
#endif

/* A duplicate is refused while the row runs elsewhere:
 * queue/httpapi/answer.go refusals, ErrLeased is 409. */
#ifdef NO_409
#define DUPLICATE answered
#else
#define DUPLICATE idle
#endif

/* A run that asked for its own time, and has no ticket for it, keeps the message
 * that it came with: queue/httpapi/answer.go, ErrNotArmed is 503. */
#ifdef NO_503
#define UNARMED answered
#else
#define UNARMED idle
#endif

/* CompleteTx commits the function's own writes with the finish. */
#ifdef FINISH_OUTSIDE_TX
#define write_ledger(end) skip
#else
#define write_ledger(end) ledger = ledger + (end == SUCCESSFUL)
#endif

/*
 * Statements that several processes use.
 */

/* Cloud Tasks stores a task: cloudtasks/dispatcher.go Dispatch. */
inline create() {
	if
	:: tickets < MAX_TICKETS -> tickets++
	:: else
	fi
}

/* Store.DispatchFailed: dispatchFailedQuery. */
inline dispatch_failed() {
	if
	:: status == READY -> overdue = 1
	:: else
	fi
}

/* loseWorkerQuery: the lease has ended with no attempt left. */
inline lose_worker() { status = FAILED; take_claim_id() }

/* A write under claim w took effect: was it still the row's claim? */
inline wrote(w) { VIOLATED_IF(lost_claim_wrote, holder != mine[w]) }

/* Store.Finish, or the commit of a transaction with CompleteTx, for which the
 * function has written to the ledger. */
inline finish(w, end) {
	begin();
	if
	:: MAY_FINISH(w) ->
		VIOLATED_IF(two_claims_finished, finisher != 0);
		wrote(w);
		status = end;
		finisher = mine[w];
		write_ledger(end);
		reply = DONE
	:: else ->
		if
		:: OWN_END(w) -> reply = DONE
		:: else -> reply = LOST
		fi
	fi;
	commit()
}

/* Store.Retry: retryQuery. A hard time makes the row early; a refund gives the
 * attempt back. */
inline retry(w, hard, refund) {
	begin();
	if
	:: MAY_RETRY(w) ->
		wrote(w);
		status = READY; early = hard; overdue = 0;
		attempts = attempts - refund;
		reply = DONE
	:: else ->
		if
		:: claim == TOKEN(w) && status == READY -> reply = DONE
		:: else -> reply = LOST
		fi
	fi;
	commit()
}

/* Store.Release: releaseQuery. */
inline release(w) {
	begin();
	if
	:: MAY_RELEASE(w) ->
		wrote(w);
		if
		:: interruptions < MAX_INTERRUPTIONS -> interruptions++; attempts--; status = READY
		:: interruptions >= MAX_INTERRUPTIONS && attempts < MAX_ATTEMPTS -> status = READY
		:: else -> expired = 1 /* whoever finds it fails it */
		fi;
		overdue = 0
	:: else
	fi;
	commit()
}

/* Store.Heartbeat: heartbeatQuery. It also renews a lease that has ended, if
 * nobody has taken the row. */
inline heartbeat(w) {
	begin();
	if
	:: MAY_RENEW(w) -> wrote(w); expired = 0
	:: else -> lost = 1
	fi;
	commit()
}

/* An ID that nobody uses: as good as a random one. */
inline fresh(w) {
	mine[w] = 1;
	do
	:: mine[w] == claim || mine[w] == holder || mine[w] == seen || mine[w] == mine[(w + 1) % WORKERS]
#if WORKERS > 2
		|| mine[w] == mine[(w + 2) % WORKERS]
#endif
		-> mine[w]++
	:: else -> break
	od
}

/* Store.Claim: claimQuery, WhyNotClaimed. */
inline try_claim(w) {
	begin();
	if
	:: status == ABSENT -> reply = NOT_FOUND
	:: FINAL(status) -> reply = ENDED
	:: LEASED -> reply = ELSEWHERE
	:: status == READY && early -> reply = NOT_DUE
	:: else ->
		if
		:: ATTEMPTS_GONE -> lose_worker(); reply = ENDED
		:: else ->
			VIOLATED_IF(live_claim_robbed, status == RUNNING && !expired);
			status = RUNNING; attempts++; expired = 0; overdue = 0;
			fresh(w);
			holder = mine[w];
#ifdef ATTEMPT_NUMBER_AS_FENCE
			TOKEN(w) = attempts;
#endif
			claim = TOKEN(w);
			reply = CLAIMED
		fi
	fi;
	commit()
}

/*
 * The processes.
 */
mtype:answer = { NOTHING, NOT_FOUND, ENDED, ELSEWHERE, NOT_DUE, CLAIMED, DONE, LOST };

/* A process that runs tasks: Executor.RunByID, and httpapi.ExecuteAnswer. It
 * takes one delivery at a time. A crash is a goto idle, where it knows nothing;
 * the message is delivered again, as is one that was not answered with 2xx. */
proctype Worker(byte w) {
	mtype:answer reply;
	bit lost, beaten, armed, stored;
idle:
	atomic {
		mine[w] = 0; reply = NOTHING; lost = 0; beaten = 0; armed = 0; stored = 0;
#ifdef ATTEMPT_NUMBER_AS_FENCE
		TOKEN(w) = 0;
#endif
	}
end:	tickets > 0; /* a delivery; the message stays until it is answered with 2xx */
	d_step { try_claim(w) };
	if
	:: reply == NOT_FOUND -> goto idle
	:: reply == ENDED -> goto answered
	:: reply == ELSEWHERE -> goto DUPLICATE
	:: reply == NOT_DUE -> goto arm
	:: reply == CLAIMED
	fi;

running: /* Executor.run; the function ends some time, or its claim is abandoned */
	if
	:: !beaten -> d_step { beaten = 1; heartbeat(w) }; goto running
	:: !beaten -> atomic { beaten = 1; lost = 1 }; goto running /* queue/heart.go note: no heartbeat got through */
	:: goto succeeds
	:: goto fails
	:: !lost && attempts < MAX_ATTEMPTS -> d_step { retry(w, 0, 0) }; goto retried /* a plain retry is answered 500 */
	:: !lost && attempts < MAX_ATTEMPTS -> d_step { retry(w, 1, 0) }; goto rescheduled /* RetryAt */
	:: !lost && faults > 0 -> d_step { faults--; retry(w, 1, 1) }; goto rescheduled /* Snooze */
	:: !lost -> d_step { release(w) }; goto idle /* Shutdown, and the function has returned */
	:: lost -> reply = LOST; goto settled /* it heeded its context: queue/settle.go, ErrLeaseLost */
	:: faults > 0 -> faults--; goto idle /* crash */
	fi;

succeeds:
#ifdef FINISH_OUTSIDE_TX
	if
	:: !stored -> d_step { stored = 1; begin(); ledger++; commit() };
		if
		:: skip
		:: faults > 0 -> faults--; goto idle
		fi
	:: else
	fi;
#endif
	atomic { finish(w, SUCCESSFUL);
		if
		:: goto settled
		:: faults > 0 -> faults--; goto succeeds /* the answer was lost: persist asks again */
		fi
	};

fails: /* a permanent error, or the last attempt */
	atomic { finish(w, FAILED);
		if
		:: goto settled
		:: faults > 0 -> faults--; goto fails
		fi
	};

settled:
	if
	:: reply == DONE -> d_step { VIOLATED_IF(foreign_end_taken_for_own, finisher != mine[w]) }; goto answered
	:: reply == LOST -> d_step { VIOLATED_IF(own_end_denied, finisher == mine[w]) };
		if
		:: FINAL(status) -> goto answered
		:: else -> goto idle /* 409 */
		fi
	fi;

retried:
	if
	:: reply == DONE -> goto idle /* 500 */
	:: reply == LOST -> goto settled
	fi;

rescheduled:
	if
	:: reply == DONE
	:: reply == LOST -> goto settled
	fi;

arm: /* Executor.arm */
	if
	:: atomic { create(); armed = 1 }; goto answered
	:: faults > 0 -> d_step { faults--; dispatch_failed() }; goto UNARMED
	:: faults > 0 -> d_step { faults--; create(); dispatch_failed(); armed = 1 }; goto UNARMED /* stored, but answered with an error */
	:: faults > 0 -> faults--; goto idle /* crash */
	fi;

answered: /* with 2xx */
	if
	:: d_step {
		VIOLATED_IF(message_thrown_away, !FINAL(status) && !armed);
		tickets = tickets - (tickets > 0) }; goto idle
	:: faults > 0 -> faults--; goto idle /* the answer is lost, or never sent */
	fi
}

/* Client.Enqueue. Who gets no answer may repeat it with the same ID. */
proctype Enqueue() {
	if
	:: skip
	:: goto over /* crash before the commit: nothing has happened */
	fi;
	d_step { begin(); status = READY; commit() }; /* Store.Insert; dispatch_due_at is in 5 minutes */
again:
	if
	:: status != READY /* Existed, and somebody has it already */
	:: status == READY -> create()
	:: faults > 0 -> d_step { faults--; dispatch_failed() }
	:: faults > 0 -> d_step { faults--; create(); dispatch_failed() }
	:: faults > 0 -> faults-- /* crash, or DispatchFailed did not get through either */
	:: faults > 0 -> faults--; goto again
	fi;
over:	skip
}

/* queue/sweep.go; Store.Promote does the first two as well. */
proctype Sweeper() {
	bit gone;
end:	do
#ifndef NO_RECLAIM
	:: d_step { status == RUNNING && expired -> seen = claim; gone = ATTEMPTS_GONE };
		d_step {
			begin();
			if
			:: STILL_LOST && gone -> lose_worker()
			:: STILL_LOST && !gone -> status = READY; take_claim_id(); overdue = 1
			:: else
			fi;
			seen = 0; gone = 0;
			commit()
		}
#endif
#ifndef NO_REDISPATCH
	:: d_step { status == READY && overdue -> overdue = 0 };
		if
		:: create()
		:: faults > 0 -> d_step { faults--; dispatch_failed() }
		:: faults > 0 -> faults-- /* crash between the two */
		fi
#endif
#ifdef NO_SWEEPER
	:: false
#endif
	od
}

/* The database's clock, and Cloud Tasks forgetting a message: its queue was
 * purged, its retries are used up, or it is 31 days old. */
proctype Time() {
end:	do
	:: d_step { status == RUNNING && !expired -> expired = 1 }
	:: d_step { status == READY && early -> early = 0 }
	:: d_step { status == READY && !early && !overdue -> overdue = 1 }
	:: d_step { tickets > 0 && faults > 0 -> faults--; tickets-- }
	od
}

/* Client.Cancel: cancelQuery. */
proctype Operator() {
	if
	:: d_step { status == READY || status == RUNNING -> begin(); status = CANCELLED; take_claim_id(); commit() }
	:: skip
	fi
}

init {
	atomic {
		byte w = 0;
		do
		:: w < WORKERS -> run Worker(w); w++
		:: else -> break
		od;
		run Enqueue(); run Time(); run Operator();
#ifndef NO_SWEEPER
		run Sweeper();
#endif
	}
}

#ifdef LIVENESS
/* Whatever is stored ends, if time goes on and nobody stands still for ever
 * (Spin's weak fairness). */
ltl every_row_ends { [] (status != ABSENT -> <> FINAL(status)) }
#endif

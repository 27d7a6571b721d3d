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
#ifndef MAX_TICKETS
#define MAX_TICKETS 2
#endif

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
bit lost[WORKERS];    /* its function's context has ended with ErrLeaseLost */
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
	:: FINAL(status) -> attempts = 0; interruptions = 0; overdue = 0; early = 0 /* nobody reads them any more */
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
#define KEEPS_DUPLICATE false
#else
#define KEEPS_DUPLICATE true
#endif

/* A run that asked for its own time, and has no ticket for it, keeps the message
 * that it came with: queue/httpapi/answer.go, ErrNotArmed is 503. */
#ifdef NO_503
#define KEEPS_UNARMED false
#else
#define KEEPS_UNARMED true
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
	:: else -> lost[w] = 1
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

/* An answer with 2xx deletes the message; any other, or none, does not. */
inline answer_2xx(armed) {
	VIOLATED_IF(message_thrown_away, !FINAL(status) && !armed);
	if
	:: tickets > 0 -> tickets--
	:: faults > 0 -> faults-- /* the answer is lost, or never sent */
	:: tickets == 0
	fi
}

/* The end of a process, or of what it knows of a run. */
inline forget(w) {
	mine[w] = 0; lost[w] = 0; reply = NOTHING
#ifdef ATTEMPT_NUMBER_AS_FENCE
	; TOKEN(w) = 0
#endif
}

/* Executor.lost: the claim is no longer ours. */
inline answer_lost() {
	if
	:: FINAL(status) -> answer_2xx(0)
	:: else -> skip /* 409 */
	fi
}

/* Executor.arm after a run or a claim that came too early, and the answer. */
inline arm() {
	if
	:: create(); answer_2xx(1)
	:: faults > 0 -> faults--; dispatch_failed(); answer_unarmed()
	:: faults > 0 -> faults--; create(); dispatch_failed(); answer_unarmed() /* stored, but answered with an error */
	:: faults > 0 -> faults-- /* crash */
	fi
}

inline answer_unarmed() {
	if
	:: KEEPS_UNARMED -> skip /* 503 */
	:: else -> answer_2xx(0)
	fi
}

/*
 * The processes.
 */
mtype:answer = { NOTHING, NOT_FOUND, ENDED, ELSEWHERE, NOT_DUE, CLAIMED, DONE, LOST };

/* A process that runs tasks: Executor.RunByID, and httpapi.ExecuteAnswer. It
 * takes one delivery at a time. After a crash it knows nothing; the message is
 * delivered again, as is one that was not answered with 2xx. */
proctype Worker(byte w) {
	mtype:answer reply;
end: idle:
	atomic { tickets > 0 ->
		try_claim(w);
		if
		:: reply == NOT_FOUND -> skip /* 404 */
		:: reply == ENDED -> answer_2xx(0)
		:: reply == ELSEWHERE && KEEPS_DUPLICATE -> skip /* 409 */
		:: reply == ELSEWHERE && !KEEPS_DUPLICATE -> answer_2xx(0)
		:: reply == NOT_DUE -> goto unarmed
		:: reply == CLAIMED -> reply = NOTHING; goto running
		fi;
		forget(w); goto idle
	}
running: /* Executor.run. The function ends some time, or its claim is abandoned. */
	if
	:: goto succeeds
	:: !lost[w] -> goto fails
	:: atomic { !lost[w] && attempts < MAX_ATTEMPTS -> /* a plain retry is answered 500 */
		retry(w, 0, 0);
		if
		:: reply == LOST -> answer_lost()
		:: else
		fi;
		forget(w); goto idle }
	:: atomic { !lost[w] && attempts < MAX_ATTEMPTS -> retry(w, 1, 0); goto again } /* RetryAt */
	:: atomic { !lost[w] && faults > 0 -> faults--; retry(w, 1, 1); goto again } /* Snooze */
	:: atomic { !lost[w] -> release(w); forget(w); goto idle } /* Shutdown, and the function has returned: 500 */
	:: atomic { lost[w] -> answer_lost(); forget(w); goto idle } /* it heeded its context */
	:: atomic { faults > 0 -> faults--; forget(w); goto idle } /* crash */
	fi;

succeeds:
#ifdef FINISH_OUTSIDE_TX
	atomic { begin(); ledger++; commit();
		if
		:: skip
		:: faults > 0 -> faults--; forget(w); goto idle
		fi };
#endif
	atomic { finish(w, SUCCESSFUL);
		if
		:: goto ended
		:: faults > 0 -> faults--; reply = NOTHING; goto succeeds /* the answer was lost: persist asks again */
		fi };

fails: /* a permanent error, or the last attempt */
	atomic { finish(w, FAILED);
		if
		:: goto ended
		:: faults > 0 -> faults--; reply = NOTHING; goto fails
		fi };

ended:
	atomic {
		if
		:: reply == DONE -> VIOLATED_IF(foreign_end_taken_for_own, finisher != mine[w]); answer_2xx(0)
		:: reply == LOST -> VIOLATED_IF(own_end_denied, finisher == mine[w]); answer_lost()
		fi;
		forget(w); goto idle }

again:
	atomic {
		if
		:: reply == LOST -> answer_lost(); forget(w); goto idle
		:: else -> forget(w)
		fi };
unarmed:
	atomic { forget(w); arm(); goto idle }
}

/* queue/heart.go: while a claim is held, its lease is renewed; and who cannot
 * renew it in time gives it up. */
proctype Heart(byte w) {
end:	do
	:: atomic { mine[w] != 0 && !lost[w] ->
		if
		:: heartbeat(w)
		:: lost[w] = 1 /* no heartbeat got through */
		fi }
	od
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
	:: d_step { status == READY -> create() }
	:: d_step { faults > 0 -> faults--; dispatch_failed() }
	:: d_step { faults > 0 -> faults--; create(); dispatch_failed() }
	:: d_step { faults > 0 -> faults-- } /* crash, or DispatchFailed did not get through either */
	:: atomic { faults > 0 -> faults--; goto again }
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
		:: d_step { true -> create() }
		:: d_step { faults > 0 -> faults--; dispatch_failed() }
		:: d_step { faults > 0 -> faults-- } /* crash between the two */
		fi
#endif
#ifdef NO_SWEEPER
	:: false
#endif
	od
}

/* The database's clock. */
proctype Time() {
end:	do
	:: d_step { status == RUNNING && !expired -> expired = 1 }
	:: d_step { status == READY && early -> early = 0 }
	:: d_step { status == READY && !early && !overdue -> overdue = 1 }
	od
}

/* Client.Cancel: cancelQuery. And Cloud Tasks forgets a message: its queue was
 * purged, its retries are used up, or it is 31 days old. */
proctype Trouble() {
end:	do
	:: d_step { status == READY || status == RUNNING -> begin(); status = CANCELLED; take_claim_id(); commit() }
	:: d_step { tickets > 0 && faults > 0 -> faults--; tickets-- }
	od
}

init {
	atomic {
		byte w = 0;
		do
		:: w < WORKERS -> run Worker(w); run Heart(w); w++
		:: else -> break
		od;
		run Enqueue(); run Time(); run Trouble();
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

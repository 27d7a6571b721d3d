/*
 * The statements: what the store, Cloud Tasks and the HTTP answer do in one
 * step. reply is the variable of the process that calls.
 */
mtype:answer = { NOTHING, NOT_FOUND, ENDED, ELSEWHERE, NOT_DUE, CLAIMED, DONE, LOST };

/* An ID that nobody uses: as good as a random one. */
#if WORKERS > 2
#define USED(w, id) (id == claim || id == holder || id == seen || id == undone_claim || id == undone_holder || id == mine[(w + 1) % WORKERS] || id == mine[(w + 2) % WORKERS])
#else
#define USED(w, id) (id == claim || id == holder || id == seen || id == undone_claim || id == undone_holder || id == mine[(w + 1) % WORKERS])
#endif
inline fresh(w) {
	mine[w] = 1;
	do
	:: USED(w, mine[w]) -> mine[w]++
	:: else -> break
	od
}

/* loseWorkerQuery: the lease has ended with no attempt left. */
inline lose_worker() { status = FAILED; take_claim_id(); durable() }

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
			VIOLATED_IF(last_attempt_repeated, spent && attempts < MAX_ATTEMPTS); /* the row has forgotten it */
			if
			:: !undoable -> undoable = 1; undone_status = status; undone_attempts = attempts; undone_claim = claim; undone_holder = holder
			:: else
			fi;
			status = RUNNING; attempts++; expired = 0; overdue = 0;
			spent = (attempts == MAX_ATTEMPTS);
			fresh(w);
			holder = mine[w];
#ifdef ATTEMPT_NUMBER_AS_FENCE
			TOKEN(w) = attempts;
#endif
			claim = TOKEN(w);
			if
			:: WAITS_FOR_DISK -> durable()
			:: else
			fi;
			reply = CLAIMED
		fi
	fi;
	commit()
}

/* Store.Finish (finishQuery), or the commit of a transaction with CompleteTx, in
 * which the function has written to the ledger. */
inline finish(w, end) {
	begin();
	if
	:: MAY_FINISH(w) ->
		writes(w);
		VIOLATED_IF(two_claims_finished, finisher != 0);
		status = end; finisher = mine[w];
		write_ledger(end);
		reply = DONE
	:: else ->
		if
		:: OWN_END(w) -> reply = DONE
		:: else -> reply = LOST
		fi
	fi;
	commit();
	VIOLATED_IF(foreign_end_taken_for_own, reply == DONE && finisher != mine[w]);
	VIOLATED_IF(own_end_denied, reply == LOST && finisher == mine[w])
}

/* The row was made READY by this very claim, if it has not been claimed again
 * since: missed in queue/pgstore/finish.go. */
inline returned_before(w) {
	if
	:: claim == TOKEN(w) && status == READY -> reply = DONE
	:: else -> reply = LOST
	fi
}

/* Store.Retry: retryQuery. A hard time makes the row early; a refund gives the
 * attempt back. */
inline retry(w, hard, refund) {
	begin();
	if
	:: MAY_RETRY(w) ->
		writes(w);
		status = READY; early = hard; overdue = 0; attempts = attempts - refund; spent = spent && !refund;
		reply = DONE
	:: else -> returned_before(w)
	fi;
	commit()
}

/* Store.Release: releaseQuery. */
inline release(w) {
	begin();
	if
	:: MAY_RELEASE(w) ->
		writes(w);
		overdue = 0;
		if
		:: interruptions < MAX_INTERRUPTIONS -> interruptions++; attempts--; spent = 0; status = READY
		:: interruptions >= MAX_INTERRUPTIONS && attempts < MAX_ATTEMPTS -> status = READY
		:: else -> expired = 1 /* nothing to release: the next process that finds it fails it */
		fi;
		reply = DONE
	:: else -> returned_before(w)
	fi;
	commit()
}

/* Store.Unclaim: unclaimQuery. It counts as no interruption, and does not say
 * whether the claim still held. */
inline unclaim(w) {
	begin();
	if
	:: MAY_RELEASE(w) -> writes(w); overdue = 0; attempts--; spent = 0; status = READY
	:: else
	fi;
	commit()
}

/* Store.Heartbeat: heartbeatQuery. It renews also a lease that has ended, as
 * long as nobody has taken the row. */
inline heartbeat(w) {
	begin();
	if
	:: MAY_RENEW(w) -> writes(w); expired = 0
	:: else -> lost[w] = 1
	fi;
	commit()
}

/* The database crashes, and its log ends before the latest claims. */
inline undo_claims() {
	status = undone_status; attempts = undone_attempts; claim = undone_claim; holder = undone_holder;
	expired = (status == RUNNING); /* or it could not have been claimed */
	overdue = 0; /* until time makes it so */
	durable()
}

/* Store.DispatchFailed: dispatchFailedQuery. */
inline dispatch_failed() {
	if
	:: status == READY -> overdue = 1
	:: else
	fi
}

/* Cloud Tasks stores a task: Dispatcher.Dispatch in cloudtasks/dispatcher.go. */
inline create() {
	VIOLATED_IF(message_before_row, status == ABSENT);
	if
	:: tickets < MAX_TICKETS -> tickets++
	:: else
	fi
}

/* A delivery answered with 2xx deletes the message; any other answer, or none,
 * does not. */
inline answer_2xx(armed) {
	VIOLATED_IF(message_thrown_away, !FINAL(status) && !armed);
	if
	:: tickets > 0 -> tickets--
	:: faults > 0 -> faults-- /* the answer is lost, or never sent */
	:: tickets == 0
	fi
}

/* OutcomeLost in server/internal/api/answer.go: 2xx if the row has ended, else 409. */
inline answer_lost() {
	if
	:: FINAL(status) -> answer_2xx(0)
	:: else
	fi
}

/* A run that asked for its own time, or a delivery that came too early, gets a
 * ticket for that time before the answer: Executor.arm. */
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
	:: KEEPS_UNARMED /* 503 */
	:: else -> answer_2xx(0)
	fi
}

/* The end of a run, or of its process: nothing of it is known any more. */
inline forget(w) {
	mine[w] = 0; lost[w] = 0; reply = NOTHING
#ifdef ATTEMPT_NUMBER_AS_FENCE
	; TOKEN(w) = 0
#endif
}

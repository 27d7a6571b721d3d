/*
 * The protocol of one row, for the model checker Spin: what workers, Cloud
 * Tasks, the sweeper, an operator and an enqueuing program may do to it, in every
 * order and with crashes in between. README.md says how to read and run it.
 *
 * An atomic or d_step is one SQL statement or transaction, with what follows it
 * that nobody else can see; between two of them anything may happen. Time is
 * events: a lease ends, a row becomes due or overdue, at any moment. A zombie is
 * a worker that is not scheduled while its lease ends.
 */
#include "row.pml"
#include "statements.pml"

/* How a run ends. When the store's answer is lost, or its statement on the way
 * there, persist in queue/settle.go asks again: the process goes to a state in
 * which it does only that. (Macros, since an inline takes no label.) */
#define END(statement, answer, repeat) \
	statement; \
	if \
	:: reply == DONE -> answer \
	:: reply == LOST -> answer_lost(); forget(w); goto idle \
	:: faults > 0 -> faults--; reply = NOTHING; goto repeat \
	fi
#define FINISHES(end, repeat) END(finish(w, end), answer_2xx(0); forget(w); goto idle, repeat)
#define RETRIES(repeat) END(retry(w, 0, 0), forget(w); goto idle, repeat) /* 500 */
#define RELEASES(repeat) END(release(w), forget(w); goto idle, repeat) /* 500 */
#define RESCHEDULES(refund, repeat) END(retry(w, 1, refund), forget(w); goto waits, repeat)

/* A process that runs tasks: Executor.RunByID in queue/executor.go, settle.go,
 * and ExecuteAnswer. It takes one delivery at a time. After a crash it knows
 * nothing; the message is delivered again, like any not answered with 2xx. */
proctype Worker(byte w) {
	mtype:answer reply;
end: idle:
	atomic { tickets > 0 -> /* a delivery, which leaves the message where it is */
		try_claim(w);
		if
		:: reply == NOT_FOUND /* 404 */
		:: reply == ENDED -> answer_2xx(0)
		:: reply == ELSEWHERE && KEEPS_DUPLICATE /* 409 */
		:: reply == ELSEWHERE && !KEEPS_DUPLICATE -> answer_2xx(0)
		:: reply == NOT_DUE -> forget(w); goto waits
		:: reply == CLAIMED -> reply = NOTHING; goto running
		fi;
		forget(w); goto idle }

running: /* Executor.run: the function ends some time */
	if
#ifdef FINISH_OUTSIDE_TX
	:: atomic { begin(); ledger++; commit(); goto succeeds }
#else
	:: atomic { FINISHES(SUCCESSFUL, succeeds) }
#endif
	:: atomic { !lost[w] -> FINISHES(FAILED, fails) } /* a permanent error, or the last attempt */
	:: atomic { !lost[w] && attempts < MAX_ATTEMPTS -> RETRIES(retries) }
	:: atomic { !lost[w] && attempts < MAX_ATTEMPTS -> RESCHEDULES(0, retries_at) } /* RetryAt */
	:: atomic { !lost[w] && faults > 0 -> faults--; RESCHEDULES(1, snoozes) } /* Snooze */
	:: atomic { !lost[w] -> RELEASES(releases) } /* Shutdown in slots.go, once it has returned */
	:: atomic { faults > 0 -> faults--; unclaim(w); forget(w); goto idle } /* the claim's answer was lost, or it waited in vain: it has not begun; 503 */
	:: atomic { lost[w] -> answer_lost(); forget(w); goto idle } /* it heeded its context */
	:: atomic { faults > 0 -> faults--; forget(w); goto idle } /* crash */
	:: atomic { faults > 0 -> faults--; goto succeeds } /* the statement did not arrive: so below */
	:: atomic { !lost[w] && faults > 0 -> faults--; goto fails }
	:: atomic { !lost[w] && faults > 0 && attempts < MAX_ATTEMPTS -> faults--; goto retries }
	:: atomic { !lost[w] && faults > 0 && attempts < MAX_ATTEMPTS -> faults--; goto retries_at }
	:: atomic { !lost[w] && faults > 1 -> faults = faults - 2; goto snoozes }
	:: atomic { !lost[w] && faults > 0 -> faults--; goto releases }
	fi;

succeeds:
#ifdef FINISH_OUTSIDE_TX
	if
	:: skip
	:: atomic { faults > 0 -> faults--; forget(w); goto idle }
	fi;
#endif
	atomic { FINISHES(SUCCESSFUL, succeeds) };
fails:
	atomic { FINISHES(FAILED, fails) };
retries:
	atomic { RETRIES(retries) };
retries_at:
	atomic { RESCHEDULES(0, retries_at) };
snoozes:
	atomic { RESCHEDULES(1, snoozes) };
releases:
	atomic { RELEASES(releases) };
waits:
	atomic { arm(); goto idle }
}

/* queue/heartbeat.go: while a claim is held its lease is renewed, and who cannot
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

/* Client.EnqueueMany. Who gets no answer may repeat it with the same ID. */
proctype Enqueue() {
	if
	:: skip
	:: goto over /* crash before the commit: nothing has happened */
	fi;
#ifdef CREATE_FIRST
	d_step { create() };
#endif
	d_step { begin(); status = READY; commit() }; /* Store.Insert; dispatch_due_at lies ahead */
repeat:
	if
	:: status != READY /* somebody has it already */
	:: d_step { status == READY -> create() }
	:: d_step { faults > 0 -> faults--; dispatch_failed() }
	:: d_step { faults > 0 -> faults--; create(); dispatch_failed() }
	:: d_step { faults > 0 -> faults-- } /* crash */
	:: atomic { faults > 0 -> faults--; goto repeat } /* crash, and repeated */
	fi;
over:	skip
}

/* Client.Sweep in queue/sweep.go: Store.Promote and Store.TakeStranded. */
proctype Sweeper() {
	bit gone;
end:	do
#ifndef NO_RECLAIM
	:: d_step { status == RUNNING && expired -> seen = claim; gone = ATTEMPTS_GONE };
		d_step {
			begin();
			if
			:: STILL_LOST && gone -> lose_worker()
			:: STILL_LOST && !gone -> status = READY; take_claim_id(); overdue = 1; durable()
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
	od
}

/* The database: its clock, and its log, which reaches the disk or ends before the
 * latest claims when it crashes. (While it is down, statements fail: those are other
 * faults.) */
proctype Database() {
end:	do
	:: d_step { status == RUNNING && !expired -> expired = 1 }
	:: d_step { status == READY && early -> early = 0 }
	:: d_step { status == READY && !early && !overdue -> overdue = 1 }
	:: d_step { undoable -> durable() }
	:: d_step { undoable && faults > 0 -> faults--; undo_claims() }
	od
}

/* Client.Cancel: cancelQuery. And Cloud Tasks loses a message: its queue was
 * purged, its retries are used up, or it is 31 days old. */
proctype Trouble() {
end:	do
	:: d_step { status == READY || status == RUNNING -> begin(); status = CANCELLED; take_claim_id(); durable(); commit() }
	:: d_step { tickets > 0 && faults > 0 -> faults--; tickets-- }
#ifdef LIVENESS
	:: break /* or fairness would make it end what nothing else does */
#endif
	od
}

init {
	atomic {
		byte w = 0;
		do
		:: w < WORKERS -> run Worker(w); run Heart(w); w++
		:: else -> break
		od;
		run Enqueue(); run Database(); run Trouble();
#ifndef NO_SWEEPER
		run Sweeper();
#endif
	}
}

#ifdef LIVENESS
/* Whatever is stored ends, if time passes and no process stops for ever: in
 * Spin's words, under weak fairness. */
ltl every_row_ends { [] (status != ABSENT -> <> FINAL(status)) }
#endif

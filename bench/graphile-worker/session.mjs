// One session of graphile-worker, as package system of the benchmark starts it. It
// reads commands from standard input, one JSON array a line, and answers each with
// one line of JSON. What callers do one after the other is done and timed here:
// a line there and back for each task would cost more than the task.
import { createInterface } from "node:readline";
import { Logger, makeWorkerUtils, run } from "graphile-worker";

const [, , connectionString, taskName, payload] = process.argv;
const poolSize = 20; // as the other systems
const order = JSON.parse(payload);

// Warnings and errors go to standard error; of what succeeds nothing is logged.
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") process.stderr.write(`graphile-worker: ${message}\n`);
});

const utils = await makeWorkerUtils({ connectionString, maxPoolSize: poolSize, logger });
let runner; // while it works

// work starts a worker with the settings that graphile-worker recommends for speed.
async function work(task) {
  runner = await run({
    preset: {
      worker: {
        connectionString, maxPoolSize: poolSize, logger,
        concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0,
      },
    },
    taskList: { [taskName]: task }, noHandleSignals: true,
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const commands = {
  // migrate makes the tables.
  migrate: () => utils.migrate(),

  // batch stores n tasks in one call.
  batch: (n) => utils.addJobs(Array(n).fill({ identifier: taskName, payload: order })).then(() => null),

  // repeat has callers store tasks, n in each call, for a time, and returns the
  // milliseconds of each call.
  async repeat(callers, n, ms) {
    const store = n > 1 ? () => commands.batch(n) : () => utils.addJob(taskName, order);
    const times = [];
    const end = performance.now() + ms;
    await Promise.all(Array.from({ length: callers }, async () => {
      for (let began = performance.now(); began < end; ) {
        await store();
        const now = performance.now();
        times.push(now - began);
        began = now;
      }
    }));
    return times;
  },

  // drain runs n tasks, and returns when their ends are stored: rows of tasks that
  // have ended are deleted.
  async drain(n) {
    let begun = 0;
    await new Promise((resolve, reject) => {
      work(() => {
        if (++begun === n) resolve();
      }).catch(reject);
    });
    for (;;) {
      const left = await utils.withPgClient((client) =>
        client.query("SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS any"));
      if (!left.rows[0].any) return null;
      await pause(1);
    }
  },

  // idle returns the milliseconds from the call of addJob to the start of the task,
  // so many times, on a worker that had nothing to do.
  async idle(samples) {
    let started;
    await work(() => started(performance.now()));
    const times = [];
    for (let i = 0; i <= samples; i++) {
      await pause(60 + 7 * (i % 8)); // as in scenario idle
      const start = new Promise((resolve) => (started = resolve));
      const began = performance.now();
      await utils.addJob(taskName, order);
      const at = await start;
      if (i > 0) times.push(at - began); // the first makes connections
    }
    return times;
  },
};

process.stdout.write("null\n"); // ready
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line);
  process.stdout.write(`${JSON.stringify((await commands[name](...args)) ?? null)}\n`);
}
if (runner) await runner.stop();
await utils.release();

import { constants, getPriority, setPriority } from 'node:os';
import { workerData } from 'node:worker_threads';
import { EINVAL } from '../sys/errno.ts';
import { close, fdatasync, fsync, pread, write } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { copyContents } from './copy-data.ts';
import { discard } from './discard.ts';
import { type Settle, settle } from './settle.ts';
import { formatTemporary } from './temporary-name.ts';
import { FIELD, FIELDS, JOB, KIND, MAX_JOBS, READY, type SlowWorkerInput } from './slow-lane.ts';

const { states, jobs, completions, lane } = workerData as SlowWorkerInput;

/** Bytes that are read at once, to be in the page cache. */
const CHUNK = 1 << 20;
let chunk: Memory | undefined;

const one = new Memory(8);
one.view.setUint32(0, 1, true);

function claim(): number {
  for (let job = 0; job < MAX_JOBS; job++) {
    if (Atomics.compareExchange(states, job, lane.queued, JOB.running) === lane.queued) return job;
  }
  return -1;
}

function field(job: number, at: number): number {
  return jobs[job * FIELDS + at] ?? -1;
}

function readIn(fd: number, offset: number, length: number): number {
  chunk ??= new Memory(CHUNK);
  for (let at = 0; at < length;) {
    const got = pread(fd, chunk.address, Math.min(length - at, CHUNK), offset + at);
    if (got <= 0) return got;
    at += got;
  }
  return 0;
}

function perform(job: number): number {
  const fd = field(job, FIELD.fd);
  switch (field(job, FIELD.kind)) {
    case KIND.copy: {
      const to = field(job, FIELD.to);
      const how = field(job, FIELD.settle) as Settle;
      return copyContents(fd, to, field(job, FIELD.length), field(job, FIELD.blocks), how) || settle(to, how);
    }
    case KIND.read:
      return readIn(fd, field(job, FIELD.offset), field(job, FIELD.length));
    case KIND.discard:
      discard(fd, formatTemporary(field(job, FIELD.to)));
      return close(fd);
    case KIND.close:
      return close(fd);
    case KIND.fsync:
      return fsync(fd);
    case KIND.fdatasync:
      return fdatasync(fd);
    default:
      return -EINVAL;
  }
}

/** Of this thread alone: Linux has a priority for each. */
function becomeNicer(): void {
  try {
    setPriority(0, Math.min(constants.priority.PRIORITY_LOW, getPriority(0) + lane.niceness));
  } catch {
    // A filter that does not know the call: others wait longer.
  }
}

if (lane.niceness > 0) becomeNicer();
Atomics.add(states, READY, 1);
Atomics.notify(states, READY);

for (;;) {
  const seen = Atomics.load(states, lane.submissions);
  const job = claim();
  if (job < 0) {
    Atomics.wait(states, lane.submissions, seen);
    continue;
  }
  jobs[job * FIELDS + FIELD.result] = perform(job);
  // Nobody asks how these ended.
  const isUnasked = field(job, FIELD.kind) === KIND.discard || field(job, FIELD.kind) === KIND.close;
  Atomics.store(states, job, isUnasked ? JOB.free : JOB.done);
  write(completions, one.address, 8);
}

import { workerData } from 'node:worker_threads';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_NONBLOCK, O_RDONLY } from '../sys/constants.ts';
import { EAGAIN, EIO } from '../sys/errno.ts';
import { close, statat, unlinkat } from '../sys/file.ts';
import { copyBytes } from '../sys/memory.ts';
import { setTimeSlice } from '../sys/thread.ts';
import { SELF, setxattrText } from '../sys/xattr.ts';
import {
  type CopyWorkerInput,
  ENDED,
  FIELD,
  FIELDS,
  NAME_BYTES,
  SLOTS,
  STATE,
  SUBMISSIONS,
  UP,
} from './copy-ahead-lane.ts';
import { copyAside } from './copy-aside.ts';
import { copyMetadata } from './copy-metadata.ts';
import { nameIdentity } from './file-handle.ts';
import { copyMode } from './make-real.ts';
import { protectionIn } from './protection.ts';
import { openWithoutTrace } from './real-file.ts';
import { settle } from './settle.ts';
import { SLOW_SIZE } from './slow-lane.ts';
import { formatTemporary } from './temporary-name.ts';

// The thread that makes copies before they are asked for: of files with one name and nothing out of the ordinary.

const input = workerData as CopyWorkerInput;
const { states, fields, workdir, settle: how, ownUid, ownGid, originXattr } = input;
const names = Buffer.from(input.names.buffer);
/** In the place of a union without records. */
const plain = { upper: undefined, ownUid, ownGid };
const lowers = input.uuids.map((uuid) => ({ uuid, refusesNoAtime: false }));
const attr = new Attr();
/** Slots whose copies were made, the oldest first. */
const made: number[] = [];

/**
 * Nanoseconds. The program whose files these are, and the session's thread, from which this one has a short slice, are to get
 * the processor from it as soon as they wake up.
 */
const TIME_SLICE = 100_000_000;

function field(slot: number, at: number): number {
  return fields[slot * FIELDS + at] ?? -1;
}

/** Answers the copy's descriptor, or a negative errno. */
function make(slot: number): number {
  const dirfd = field(slot, FIELD.dirfd);
  const begin = slot * NAME_BYTES;
  const name = names.toString('latin1', begin, begin + field(slot, FIELD.nameLength));
  const lower = lowers[field(slot, FIELD.layer)];
  const stated = statat(dirfd, name, attr);
  if (stated < 0 || lower === undefined) return stated < 0 ? stated : -EIO;
  copyBytes(field(slot, FIELD.attributes), attr.memory.address, attr.memory.size);
  const isPlain = attr.nlink === 1 && attr.size > 0 && attr.size < SLOW_SIZE && protectionIn(attr) === 0;
  const from = isPlain ? openWithoutTrace(lower, dirfd, name, O_RDONLY | O_NONBLOCK) : -EAGAIN;
  if (from < 0) return from;
  const temporary = formatTemporary(field(slot, FIELD.temporary));
  const to = copyAside(plain, workdir, temporary, from, attr, how);
  close(from);
  const described = to < 0 ? to : describe(slot, dirfd, name, lower.uuid, to);
  if (described < 0 && to >= 0) discard(to, temporary);
  return described < 0 ? described : to;
}

function describe(slot: number, dirfd: number, name: ByteString, uuid: ByteString, to: number): number {
  const isBare = field(slot, FIELD.isBare) !== 0;
  const copied = copyMetadata(plain, undefined, dirfd, name, attr, to, SELF, isBare, copyMode(plain, attr.mode));
  if (copied < 0) return copied;
  const identity = nameIdentity(dirfd, name, uuid);
  if (identity === undefined) return -EAGAIN;
  setxattrText(to, SELF, originXattr, identity);
  return 0;
}

function discard(fd: number, temporary: ByteString): void {
  close(fd);
  unlinkat(workdir, temporary);
}

function serve(slot: number): void {
  let fd = -EIO;
  try {
    fd = make(slot);
  } finally {
    fields[slot * FIELDS + FIELD.result] = fd;
    finish(slot, fd, fd < 0 ? STATE.failed : STATE.made);
    if (fd >= 0) made.push(slot);
  }
}

/** Ends this thread's turn with a slot; a copy that has failed, or is not waited for any longer, goes. */
function finish(slot: number, fd: number, state: number): void {
  if (state === STATE.failed && fd >= 0) discard(fd, formatTemporary(field(slot, FIELD.temporary)));
  const isWanted = Atomics.compareExchange(states, slot, STATE.running, state) === STATE.running;
  if (!isWanted && state !== STATE.failed) discard(fd, formatTemporary(field(slot, FIELD.temporary)));
  Atomics.notify(states, slot);
}

/** Brings the oldest copy that nobody has come for yet to the disk; answers false where there is none. */
function settleOne(): boolean {
  for (let slot = made.shift(); slot !== undefined; slot = made.shift()) {
    if (Atomics.compareExchange(states, slot, STATE.made, STATE.running) !== STATE.made) continue;
    const fd = field(slot, FIELD.result);
    const settled = settle(fd, how);
    if (settled < 0) fields[slot * FIELDS + FIELD.result] = settled;
    finish(slot, fd, settled < 0 ? STATE.failed : STATE.settled);
    return true;
  }
  return false;
}

/** The next slot whose copy is to be made, now this thread's, in the order in which they are given out; or -1. */
function claim(start: number): number {
  for (let tried = 0; tried < SLOTS; tried++) {
    const slot = (start + tried) % SLOTS;
    if (Atomics.compareExchange(states, slot, STATE.queued, STATE.running) === STATE.queued) return slot;
  }
  return -1;
}

setTimeSlice(TIME_SLICE);
Atomics.store(states, UP, 1);
Atomics.notify(states, UP);

for (let at = 0; ;) {
  const seen = Atomics.load(states, SUBMISSIONS);
  const slot = claim(at);
  if (slot >= 0) {
    serve(slot);
    at = slot + 1;
  } else if (Atomics.load(states, ENDED) !== 0) {
    break;
  } else if (!settleOne()) {
    Atomics.wait(states, SUBMISSIONS, seen);
  }
}

import { describe, expect, test } from 'vitest';
import { NO_HANDLE } from '../../fs/filesystem.ts';
import { type NoOpen } from '../../fs/fuse/connection.ts';
import { INIT, INIT2, OPCODE } from '../../fs/fuse/constants.ts';
import { PAYLOAD } from '../../fs/fuse/slot.ts';
import { EAGAIN, ENOSYS } from '../../fs/sys/errno.ts';
import { type Answers, type Served, INIT_REQUEST, request, serve, u32, u64 } from './fake.ts';

// struct fuse_init_out
const FLAGS = PAYLOAD + 12;
const FLAGS2 = PAYLOAD + 32;
const HANDLE = 77;

const open = request(OPCODE.OPEN, 9, u32(0, 0));
const read = request(OPCODE.READ, 9, u64(HANDLE, 0), u32(100, 0), u64(0), u32(0, 0));
const release = request(OPCODE.RELEASE, 9, u64(HANDLE), u32(0, 0), u64(0));

interface Given {
  readonly noOpen?: NoOpen;
  readonly passthrough?: boolean;
  readonly opensFiles?: boolean;
}

function run({ noOpen = 'auto', passthrough = false, opensFiles = false }: Given, answers: Answers = {}): Served {
  const all = { opensFiles, read: () => 0, release: () => undefined, ...answers };
  return serve(all, [INIT_REQUEST, open, read, release], undefined, 4096, passthrough, noOpen);
}

const errorOf = (reply: Buffer | undefined): number => reply?.readInt32LE(4) ?? Number.NaN;

describe('a session that has the kernel open files without asking', () => {
  test.each<[string, Given]>([
    ['by no_open=auto where nothing can be passed through', {}],
    ['by no_open=on', { noOpen: 'on' }],
    ['by no_open=on, in the place of passthrough', { noOpen: 'on', passthrough: true }],
  ])('answers OPEN with ENOSYS and gives no handle: %s', (_, given) => {
    const { replies, calls } = run(given);
    expect(replies.map(errorOf)).toEqual([0, -ENOSYS, 0, 0]);
    expect(calls.filter(([method]) => method !== 'start').map(([method, , handle]) => [method, handle])).toEqual([
      ['read', NO_HANDLE],
      ['destroy', undefined],
    ]);
  });

  test('is sent SETATTR by who truncates, and passes nothing through', () => {
    const [reply] = run({ noOpen: 'on', passthrough: true }).replies;
    expect((reply?.readUInt32LE(FLAGS) ?? 0) & INIT.ATOMIC_O_TRUNC).toBe(0);
    expect((reply?.readUInt32LE(FLAGS2) ?? 0) & INIT2.PASSTHROUGH).toBe(0);
  });

  test.each<[string, Given]>([
    ['no_open=auto where files can be passed through', { passthrough: true }],
    ['no_open=off', { noOpen: 'off' }],
    ['a filesystem that wants to hear of it', { noOpen: 'on', opensFiles: true }],
  ])('is none with %s', (_, given) => {
    const { replies, calls } = run(given, { open: (_node, _flags, opened) => ((opened.handle = HANDLE), 0) });
    expect(errorOf(replies[1])).toBe(0);
    expect((replies[0]?.readUInt32LE(FLAGS) ?? 0) & INIT.ATOMIC_O_TRUNC).not.toBe(0);
    expect(calls.find(([method]) => method === 'read')?.[2]).toBe(HANDLE);
  });

  test('lets the filesystem rest where no request comes for as long as it says', () => {
    const { calls } = serve({ restsAfter: 500, rest: () => undefined }, [INIT_REQUEST, -EAGAIN, -EAGAIN]);
    expect(calls.map(([method]) => method)).toEqual(['start', 'rest', 'rest', 'destroy']);
  });
});

import { describe, expect, test } from 'vitest';
import { OPCODE } from '../../fs/fuse/constants.ts';
import { REQUESTS } from '../../fs/fuse/opcodes.ts';
import { EEXIST, EINVAL, ENOENT, ENOSYS, ENOTTY } from '../../fs/sys/errno.ts';
import { type FileOffset } from '../../fs/sys/file-offset.ts';
import { answer, type Answers, request, text, u32, u64 } from './fake.ts';
import { PASSTHROUGH_GOLDEN } from './golden-passthrough.ts';
import { GOLDEN, ioctlIn, none, reply } from './golden.ts';

describe('answered requests', () => {
  for (const { name, what, body, answers, calls, payload } of [...GOLDEN, ...PASSTHROUGH_GOLDEN]) {
    test(`${name}${what === undefined ? '' : ` ${what}`} is taken and answered byte for byte`, () => {
      const result = answer(answers, request(OPCODE[name], 3, ...body));
      expect(result.calls).toEqual(calls);
      expect(result.reply.toString('hex')).toBe(reply(payload).toString('hex'));
    });
  }

  const silent: readonly (keyof typeof OPCODE)[] = ['FORGET', 'BATCH_FORGET', 'INIT'];
  const answered = Object.entries(REQUESTS).filter(([, entry]) => 'handler' in entry);
  test('each has its golden bytes', () => {
    const covered = new Set<string>([...GOLDEN.map(({ name }) => name), ...silent]);
    expect(answered.map(([name]) => name).filter((name) => !covered.has(name))).toEqual([]);
  });

  test('one whose structure is cut short is EINVAL and does not reach the filesystem', () => {
    for (const [name, entry] of answered) {
      if (!('body' in entry) || entry.body === 0 || silent.includes(name as keyof typeof OPCODE)) continue;
      const { reply: got, calls } = answer(
        {},
        request(OPCODE[name as keyof typeof OPCODE], 3, Buffer.alloc(entry.body - 1)),
      );
      expect([name, got.toString('hex'), calls]).toEqual([name, reply(none, -EINVAL).toString('hex'), []]);
    }
  });
});

describe('forget', () => {
  test('FORGET gives lookups back and has no reply', () => {
    const { reply: got, calls } = answer({ forget: () => undefined }, request(OPCODE.FORGET, 3, u64(0x1_0000_0002)));
    expect(calls).toEqual([['forget', 3, 0x1_0000_0002]]);
    expect(got).toHaveLength(0);
  });

  test('BATCH_FORGET gives back what lies in the request, whatever it counts, and has no reply', () => {
    const body = [u32(3, 0), u64(4, 1, 5, 2)];
    const { reply: got, calls } = answer({ forget: () => undefined }, request(OPCODE.BATCH_FORGET, 0, ...body));
    expect(calls).toEqual([
      ['forget', 4, 1],
      ['forget', 5, 2],
    ]);
    expect(got).toHaveLength(0);
  });
});

// A double holds whole numbers to 2^53: one more, and it would be for another place in the file.
describe('an offset or size above what a number holds exactly', () => {
  const FAR = 2n ** 53n + 1n;
  const DATA = [u32(4, 0), u64(0), u32(0, 0), Buffer.from('data')];
  const passed: readonly [name: string, answers: Answers, request: Buffer, given: readonly unknown[]][] = [
    ['READ', { read: () => 0 }, request(OPCODE.READ, 3, u64(9, FAR), u32(4096, 0), u64(0), u32(0, 0)), [3, 9, FAR]],
    ['WRITE', { write: () => 4 }, request(OPCODE.WRITE, 3, u64(9, FAR), ...DATA), [3, 9, FAR]],
    [
      'FALLOCATE',
      { fallocate: () => 0 },
      request(OPCODE.FALLOCATE, 3, u64(9, FAR, FAR + 1n), u32(0, 0)),
      [3, 9, 0, FAR, FAR + 1n],
    ],
    ['LSEEK', { lseek: () => 0 }, request(OPCODE.LSEEK, 3, u64(9, FAR), u32(3, 0)), [3, 9, FAR]],
    [
      'COPY_FILE_RANGE',
      { copyFileRange: () => 0 },
      request(OPCODE.COPY_FILE_RANGE, 3, u64(9, FAR, 4, 10, FAR + 2n, 1, 0)),
      [3, 9, FAR, 4, 10, FAR + 2n],
    ],
  ];
  test.each(passed)('of %s is passed on exactly', (_name, answers, one, given) => {
    const { calls } = answer(answers, one);
    expect(calls[0]?.slice(1, 1 + given.length)).toEqual(given);
  });

  test('that LSEEK finds is answered exactly', () => {
    const { reply: got } = answer({ lseek: () => FAR }, request(OPCODE.LSEEK, 3, u64(9, 0), u32(3, 0)));
    expect(got.toString('hex')).toBe(reply(u64(FAR)).toString('hex'));
  });

  test('of SETATTR is passed on exactly', () => {
    let size: FileOffset = 0;
    const setattr: Answers['setattr'] = (_caller, _node, _handle, change) => {
      ({ size } = change);
      return 0;
    };
    answer({ setattr }, request(OPCODE.SETATTR, 3, u32(8, 0), u64(0, FAR), Buffer.alloc(64)));
    expect(size).toBe(FAR);
  });

  test('beyond 2^63 is negative, for the system call to refuse', () => {
    const { calls } = answer({ lseek: () => -EINVAL }, request(OPCODE.LSEEK, 3, u64(9, 2n ** 64n - 1n), u32(3, 0)));
    expect(calls).toEqual([['lseek', 3, 9, -1, 3]]);
  });

  test('SETATTR of something else does not mind', () => {
    const { calls } = answer(
      { setattr: () => 0 },
      request(OPCODE.SETATTR, 3, u32(1, 0), u64(0, FAR), Buffer.alloc(64)),
    );
    expect(calls.map(([method]) => method)).toEqual(['setattr']);
  });
});

describe('refusals', () => {
  const failures: readonly [what: string, answers: Answers, request: Buffer, errno: number][] = [
    ['an errno of the filesystem', { unlink: () => -ENOENT }, request(OPCODE.UNLINK, 3, text('f')), ENOENT],
    ['an entry that fails', { mkdir: () => -EEXIST }, request(OPCODE.MKDIR, 3, u32(0, 0), text('f')), EEXIST],
    ['RENAME_WHITEOUT', {}, request(OPCODE.RENAME2, 3, u64(4), u32(4, 0), text('a'), text('b')), EINVAL],
    ['a copy with flags', {}, request(OPCODE.COPY_FILE_RANGE, 3, u64(1, 0, 1, 1, 0, 1, 1)), EINVAL],
    ['a read larger than max_read', {}, request(OPCODE.READ, 3, u64(9, 0), u32(1 << 21, 0), u64(0, 0)), EINVAL],
    [
      'a write of more than the request holds',
      {},
      request(OPCODE.WRITE, 3, u64(9, 0), u32(5, 0), u64(0), u32(0, 0), Buffer.from('data')),
      EINVAL,
    ],
    [
      'an xattr value of more than the request holds',
      {},
      request(OPCODE.SETXATTR, 3, u32(6, 0, 0, 0), text('user.x'), Buffer.from('value')),
      EINVAL,
    ],
    ['an ioctl it does not know', { ioctl: () => -ENOTTY }, request(OPCODE.IOCTL, 3, ioctlIn(0), u32(0)), ENOTTY],
    ['an opcode of the future', {}, request(60, 3), ENOSYS],
    ['an opcode beyond every table', {}, request(0x10000000, 3), ENOSYS],
  ];
  for (const [what, answers, one, errno] of failures) {
    test(`${what} is answered with the errno alone`, () => {
      expect(answer(answers, one).reply.toString('hex')).toBe(reply(none, -errno).toString('hex'));
    });
  }

  const refused = Object.entries(REQUESTS).filter(([, entry]) => 'reason' in entry);
  test.each(refused)('%s is ENOSYS on purpose, or needs no reply', (name, entry) => {
    const { reply: got, calls } = answer({}, request(OPCODE[name as keyof typeof OPCODE], 3, Buffer.alloc(64)));
    expect(calls).toEqual([]);
    expect(got).toEqual('silent' in entry ? none : reply(none, -ENOSYS));
  });

  test('without a lifetime, a name that is not there is ENOENT, which the kernel forgets', () => {
    const { reply: got } = answer({ timeout: 0, lookup: () => 0 }, request(OPCODE.LOOKUP, 3, text('f')));
    expect(got).toEqual(reply(none, -ENOENT));
  });
});

test('REQUESTS names every opcode of Linux 5.4 to 6.18', () => {
  expect(Object.keys(REQUESTS).sort()).toEqual(Object.keys(OPCODE).sort());
});

test('OPEN whose truncation fails gives its handle back', () => {
  const answers: Answers = {
    open: (_node, _flags, opened) => (Object.assign(opened, { handle: 9 }), 0),
    setattr: () => -EINVAL,
    release: () => undefined,
  };
  const { reply: got, calls } = answer(answers, request(OPCODE.OPEN, 3, u32(0o1001, 1)));
  expect(calls.map(([method, node, handle]) => [method, node, handle]).at(-1)).toEqual(['release', 3, 9]);
  expect(got).toEqual(reply(none, -EINVAL));
});

test('SETXATTR of an ACL that may not keep setgid clears it', () => {
  const answers: Answers = {
    setxattr: () => 0,
    getattr: (_node, _handle, attr) => ((attr.mode = 0o102755), 0),
    setattr: () => 0,
  };
  const body = [u32(1, 0, 1, 0), text('system.posix_acl_access'), Buffer.from('v')];
  const { calls } = answer(answers, request(OPCODE.SETXATTR, 3, ...body));
  expect(calls.map(([method]) => method)).toEqual(['setxattr', 'getattr', 'setattr']);
  expect(calls[2]?.[4]).toMatchObject({ valid: 1, mode: 0o100755 });
});

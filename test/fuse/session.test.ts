import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DEFERRED } from '../../fs/filesystem.ts';
import { INIT, INIT2, OPCODE } from '../../fs/fuse/constants.ts';
import { DeviceNotifier } from '../../fs/fuse/notifier.ts';
import { DevicePassthrough } from '../../fs/fuse/passthrough.ts';
import { BODY, MAX_WRITE, PAYLOAD } from '../../fs/fuse/slot.ts';
import {
  EAGAIN,
  EBADF,
  ECONNABORTED,
  EFBIG,
  EINTR,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  EPERM,
  EPROTO,
} from '../../fs/sys/errno.ts';
import { answer, bytesAt, createSlot, FakeDevice, hex, INIT_REQUEST, request, serve, text, u32, u64 } from './fake.ts';

const errorOf = (reply: Buffer | undefined): number => reply?.readInt32LE(4) ?? Number.NaN;

describe('Session', () => {
  test.each([
    ['ENODEV', ENODEV],
    ['ECONNABORTED', ECONNABORTED],
  ])('ends and closes the filesystem once on %s', (_name, errno) => {
    const { calls } = serve({}, [INIT_REQUEST, -errno]);
    expect(calls.map(([method]) => method)).toEqual(['start', 'destroy']);
  });

  test('reads again after EINTR, EAGAIN and ENOENT', () => {
    const lookup = request(OPCODE.UNLINK, 1, text('f'));
    const { replies, log } = serve({ unlink: () => 0 }, [-EINTR, -EAGAIN, -ENOENT, INIT_REQUEST, -EINTR, lookup]);
    expect(replies.map(errorOf)).toEqual([0, 0]);
    expect(log).toEqual([]);
  });

  test('ends with a word in the log on an error that it does not know', () => {
    const { log, calls } = serve({}, [-EPERM]);
    expect(log).toEqual(['reading requests failed with EPERM: the session ends']);
    expect(calls).toEqual([['destroy']]);
  });

  test('answers EIO, logs, and goes on where the filesystem throws', () => {
    const unlink = (): number => {
      throw new Error('a broken invariant');
    };
    const requests = [INIT_REQUEST, request(OPCODE.UNLINK, 9, text('f')), request(OPCODE.RMDIR, 9, text('d'))];
    const { replies, log } = serve({ unlink, rmdir: () => 0 }, requests);
    expect(replies.map(errorOf)).toEqual([0, -EIO, 0]);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatch(/^request 10 on node 9 failed: Error: a broken invariant/);
  });

  test('answers what the filesystem put off when it is done, and others meanwhile', () => {
    let asked = 0;
    const unlink = (): number => (++asked < 3 ? DEFERRED : 0);
    const slow = request(OPCODE.UNLINK, 9, text('slow'));
    const quick = request(OPCODE.RMDIR, 9, text('quick'));
    const { replies, calls, nonBlocking } = serve({ unlink, rmdir: () => 0 }, [INIT_REQUEST, slow, quick, -EAGAIN]);
    expect(calls.filter(([method]) => method === 'unlink')).toEqual(Array(3).fill(['unlink', 9, 'slow']));
    expect(replies.slice(1).map((reply) => reply.readUInt32LE(8))).toEqual(
      [quick, slow].map((bytes) => bytes.readUInt32LE(8)),
    );
    expect(nonBlocking).toEqual([true, false]);
  });

  test('ends, without a word, where a read of the device answers nothing', () => {
    const { calls, log } = serve({}, [INIT_REQUEST, Buffer.alloc(0), request(OPCODE.UNLINK, 1, text('f'))]);
    expect(calls.map(([method]) => method)).toEqual(['start', 'destroy']);
    expect(log).toEqual([]);
  });

  test('ignores what is not a whole request, and says so', () => {
    const short = INIT_REQUEST.subarray(0, 30);
    const wrongLength = Buffer.from(INIT_REQUEST);
    wrongLength.writeUInt32LE(1000, 0);
    const { replies, log } = serve({}, [short, wrongLength]);
    expect(replies).toEqual([]);
    expect(log).toEqual([
      'a request of 30 bytes is not whole: ignored',
      'a request of 104 bytes is not whole: ignored',
    ]);
  });

  test('counts requests by opcode, and those beyond the table under 0', () => {
    const unlink = request(OPCODE.UNLINK, 1, text('f'));
    const { requests } = serve({ unlink: () => 0 }, [INIT_REQUEST, unlink, unlink, request(0x7fff, 1)]);
    expect([requests[OPCODE.UNLINK], requests[OPCODE.INIT], requests[0], requests[OPCODE.OPEN]]).toEqual([2, 1, 1, 0]);
  });

  test.each([
    ['is silent about a reply that nobody waits for', ENOENT, []],
    ['logs a reply that the kernel refuses', EINVAL, ['the kernel refused the reply to request 26 with EINVAL']],
  ])('%s', (_what, errno, log) => {
    expect(serve({}, [INIT_REQUEST], -errno).log).toEqual(log);
  });

  test('replies of different sizes do not leak into each other', () => {
    const long = request(OPCODE.READLINK, 1);
    const open = request(OPCODE.OPENDIR, 1, u32(0, 0));
    const { replies } = serve(
      {
        readlink: () => 200,
        opendir: (_node, opened) => (Object.assign(opened, { handle: 3, keepCache: false }), 0),
      },
      [INIT_REQUEST, long, open],
    );
    expect(replies[2]?.subarray(PAYLOAD).toString('hex')).toBe('03000000000000000000000000000000');
  });
});

describe('DevicePassthrough', () => {
  test('registers a descriptor by FUSE_DEV_IOC_BACKING_OPEN, and ends that by FUSE_DEV_IOC_BACKING_CLOSE', () => {
    const device = new FakeDevice();
    device.backing = 5;
    const passthrough = new DevicePassthrough(device);
    expect(passthrough.register(0x123)).toBe(5);
    passthrough.unregister(0x102);
    expect(device.ioctls).toEqual([
      [0x4010e501, '23010000000000000000000000000000'],
      [0x4004e502, '02010000'],
    ]);
  });

  test('is allowed where the kernel minds no more than that there is no file', () => {
    const device = new FakeDevice();
    const passthrough = new DevicePassthrough(device);
    for (const [errno, allowed] of [
      [EBADF, true],
      [EPERM, false],
    ] as const) {
      device.backing = -errno;
      expect(passthrough.isAllowed).toBe(allowed);
    }
  });
});

describe('Slot', () => {
  const slot = createSlot(new FakeDevice());

  test('puts the data of WRITE and of READ at the start of a page', () => {
    expect((slot.requestAddress + BODY + 40) % 4096).toBe(0);
    slot.alignPayload();
    expect(slot.payloadAddress % 4096).toBe(0);
  });

  test('puts other replies within one page, and each where its header is', () => {
    slot.decode(0);
    expect(slot.replyAddress % 4096).toBe(0);
    for (const aligned of [false, true]) {
      if (aligned) slot.alignPayload();
      expect(slot.payloadAddress).toBe(slot.replyAddress + PAYLOAD);
      const length = slot.encode(-EPERM, 0);
      expect(bytesAt(slot.replyAddress, length).readInt32LE(4)).toBe(-EPERM);
    }
  });

  test('has room for the largest WRITE, as the kernel asks of whoever negotiates it', () => {
    expect(slot.requestCapacity).toBeGreaterThanOrEqual(BODY + 40 + MAX_WRITE);
  });
});

describe('DeviceNotifier', () => {
  const notify = (act: (notifier: DeviceNotifier) => number, failure?: number): [number, string] => {
    const device = new FakeDevice();
    device.failure = failure;
    const status = act(new DeviceNotifier(device));
    return [status, device.replies[0]?.toString('hex') ?? ''];
  };

  test('invalidateEntry is FUSE_NOTIFY_INVAL_ENTRY, byte for byte', () => {
    const bytes = hex('25000000 03000000 0000000000000000 0500000000000000 04000000 00000000 6e616d65 00');
    expect(notify((notifier) => notifier.invalidateEntry(5, 'name'))).toEqual([0, bytes.toString('hex')]);
  });

  test('invalidateInode is FUSE_NOTIFY_INVAL_INODE, a negative offset included', () => {
    const bytes = hex('28000000 02000000 0000000000000000 0600000000000000 ffffffffffffffff 0010000000000000');
    expect(notify((notifier) => notifier.invalidateInode(6, -1, 4096))).toEqual([0, bytes.toString('hex')]);
  });

  describe('storeContent', () => {
    const directory = mkdtempSync(join(tmpdir(), 'lamina-notifier-'));
    const path = join(directory, 'file');
    writeFileSync(path, 'content');
    const fd = openSync(path, 'r');
    afterAll(() => {
      closeSync(fd);
      rmSync(directory, { recursive: true });
    });

    test('is FUSE_NOTIFY_STORE with the whole file', () => {
      const bytes = hex('2f000000 04000000 0000000000000000 0700000000000000 0000000000000000 07000000 00000000');
      const message = Buffer.concat([bytes, Buffer.from('content')]);
      expect(notify((notifier) => notifier.storeContent(7, fd, 7))).toEqual([0, message.toString('hex')]);
      expect(notify((notifier) => notifier.storeContent(7, fd, 7), -ENOENT)[0]).toBe(-ENOENT);
    });

    test('stores nothing of a larger file, nor of one that cannot be read', () => {
      expect(notify((notifier) => notifier.storeContent(7, fd, 6))).toEqual([-EFBIG, '']);
      expect(notify((notifier) => notifier.storeContent(7, -1, 7))).toEqual([-EBADF, '']);
    });
  });

  test('answers the errno of a notification that the kernel does not take', () => {
    expect(notify((notifier) => notifier.invalidateEntry(5, 'name'), -ENOENT)[0]).toBe(-ENOENT);
  });
});

/** INIT's reply, field by field. */
function negotiate(
  body: Buffer,
  answers: Parameters<typeof serve>[0] = {},
  pageSize?: number,
  passthrough?: boolean,
): Record<string, number> & { calls: number } {
  const { replies, calls } = serve(answers, [request(OPCODE.INIT, 0, body)], undefined, pageSize, passthrough);
  const reply = replies[0] ?? Buffer.alloc(0);
  const starts = calls.filter(([method]) => method === 'start').length;
  if (reply.length === PAYLOAD) return { error: errorOf(reply), calls: starts };
  const word = (offset: number): number => reply.readUInt32LE(PAYLOAD + offset);
  return {
    error: errorOf(reply),
    length: reply.length,
    major: word(0),
    minor: word(4),
    readahead: word(8),
    flags: word(12),
    background: word(16) & 0xffff,
    congestion: word(16) >>> 16,
    maxWrite: word(20),
    granularity: word(24),
    maxPages: word(28) & 0xffff,
    flags2: word(32),
    stackDepth: word(36),
    calls: starts,
  };
}

const initBody = (minor: number, flags: number, flags2?: number): Buffer =>
  flags2 === undefined
    ? u32(7, minor, 65536, flags)
    : Buffer.concat([u32(7, minor, 65536, flags, flags2), Buffer.alloc(44)]);

describe('INIT', () => {
  const all = 0x7fffffff;

  test('takes what it wants of a kernel that offers all, and nothing else', () => {
    const { flags = 0, flags2 = 0, ...rest } = negotiate(initBody(45, all, 0xffffffff));
    const unwanted =
      INIT.POSIX_LOCKS |
      INIT.FILE_OPS |
      INIT.EXPORT_SUPPORT |
      INIT.SPLICE_WRITE |
      INIT.SPLICE_MOVE |
      INIT.SPLICE_READ |
      INIT.FLOCK_LOCKS |
      INIT.AUTO_INVAL_DATA |
      INIT.READDIRPLUS_AUTO |
      INIT.WRITEBACK_CACHE |
      INIT.NO_OPEN_SUPPORT |
      INIT.HANDLE_KILLPRIV |
      INIT.POSIX_ACL |
      INIT.NO_OPENDIR_SUPPORT |
      INIT.MAP_ALIGNMENT |
      INIT.SUBMOUNTS |
      INIT.ASYNC_DIO;
    expect(flags).toBe(all & ~unwanted);
    expect(flags2).toBe(INIT2.DIRECT_IO_ALLOW_MMAP | INIT2.NO_EXPORT_SUPPORT | INIT2.PASSTHROUGH);
    expect(rest).toEqual({
      error: 0,
      length: PAYLOAD + 64,
      major: 7,
      minor: 45,
      readahead: 65536,
      background: 64,
      congestion: 48,
      maxWrite: MAX_WRITE,
      granularity: 1,
      maxPages: MAX_WRITE / 4096,
      stackDepth: 1,
      calls: 1,
    });
  });

  test('takes no PASSTHROUGH where it is not wanted, or of a kernel that has none', () => {
    const { flags2: unwanted = 0, stackDepth } = negotiate(initBody(45, all, 0xffffffff), {}, undefined, false);
    expect([unwanted & INIT2.PASSTHROUGH, stackDepth]).toEqual([0, 0]);
    const started: unknown[] = [];
    const answers = { start: (...given: unknown[]) => void started.push(given[1]) };
    expect(negotiate(initBody(45, all, ~INIT2.PASSTHROUGH), answers)['stackDepth']).toBe(0);
    expect(started).toEqual([undefined]);
  });

  test.each([
    [40, false],
    [41, true],
  ])('of a kernel of 7.%i, says whether it takes contents unasked: %s', (minor, taken) => {
    const started: unknown[] = [];
    negotiate(initBody(minor, all, 0), { start: (...given: unknown[]) => void started.push(given[2]) });
    expect(started).toEqual([taken]);
  });

  test('takes EXPORT_SUPPORT where nodes stay good after they were forgotten', () => {
    const { flags = 0, flags2 = 0 } = negotiate(initBody(45, all, 0xffffffff), { exportable: true });
    expect(flags & INIT.EXPORT_SUPPORT).toBe(INIT.EXPORT_SUPPORT);
    expect(flags2 & INIT2.NO_EXPORT_SUPPORT).toBe(0);
  });

  test('has the kernel check POSIX ACLs where the filesystem keeps them', () => {
    const { flags = 0 } = negotiate(initBody(45, all, 0), { acl: true });
    expect(flags & INIT.POSIX_ACL).toBe(INIT.POSIX_ACL);
  });

  test('on Linux 5.4 (7.31), whose request is short, takes what there is', () => {
    const offered = 0x03ffffff;
    const { flags = 0, flags2, error, maxPages } = negotiate(initBody(31, offered));
    expect({ flags2, error, maxPages }).toEqual({ flags2: 0, error: 0, maxPages: 128 });
    expect(flags & ~offered).toBe(0);
    expect(flags & INIT.DO_READDIRPLUS).toBe(INIT.DO_READDIRPLUS);
    expect(flags & (INIT.HANDLE_KILLPRIV | INIT.SETXATTR_EXT | INIT.INIT_EXT)).toBe(0);
  });

  test('gives no max_pages to a kernel that does not offer MAX_PAGES', () => {
    expect(negotiate(initBody(23, INIT.ASYNC_READ | INIT.BIG_WRITES))).toMatchObject({
      maxPages: 0,
      flags: INIT.ASYNC_READ | INIT.BIG_WRITES,
    });
  });

  test('counts max_pages in pages of the machine', () => {
    expect(negotiate(initBody(45, all, 0), {}, 65536)['maxPages']).toBe(8);
  });

  test('answers a newer major version with ours, and waits for the kernel to ask again', () => {
    const { replies, calls } = serve({}, [request(OPCODE.INIT, 0, u32(8, 0, 0, 0)), INIT_REQUEST]);
    expect(replies[0]?.readUInt32LE(PAYLOAD)).toBe(7);
    expect(replies.map((reply) => errorOf(reply))).toEqual([0, 0]);
    expect(calls.filter(([method]) => method === 'start')).toHaveLength(1);
  });

  test.each([
    ['an older major version', u32(6, 99, 0, 0)],
    ['a minor version below 23', u32(7, 22, 0, 0)],
  ])('refuses %s', (_what, body) => {
    expect(negotiate(body)).toEqual({ error: -EPROTO, calls: 0 });
  });

  test('without SETXATTR_EXT reads the short structure of SETXATTR', () => {
    const setxattr = request(OPCODE.SETXATTR, 3, u32(1, 2), text('user.x'), Buffer.from('v'));
    const init = request(OPCODE.INIT, 0, initBody(31, 0x03ffffff));
    const { calls } = serve({ setxattr: () => 0 }, [init, setxattr]);
    expect(calls[1]).toEqual(['setxattr', 3, 'user.x', expect.any(Number), 1, 2]);
  });

  test('gives lifetimes in seconds and nanoseconds, within what the protocol holds', () => {
    const lifetimes = (timeout: number): unknown[] => {
      const { reply } = answer({ timeout, getattr: () => 0 }, request(OPCODE.GETATTR, 1, u32(0, 0), u64(0)));
      return [reply.readBigUInt64LE(PAYLOAD), reply.readUInt32LE(PAYLOAD + 8)];
    };
    expect(lifetimes(1.25)).toEqual([1n, 250_000_000]);
    expect(lifetimes(Number.POSITIVE_INFINITY)).toEqual([0xffffffffn, 0]);
    expect(lifetimes(0)).toEqual([0n, 0]);
  });
});

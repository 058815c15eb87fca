import { expect } from 'vitest';
import { type OPCODE } from '../../fs/fuse/constants.ts';
import { WRITE } from '../../fs/filesystem.ts';
import { EINVAL } from '../../fs/sys/errno.ts';
import { type Answers, bytesAt, fillAttr, hex, store, text, u32, u64 } from './fake.ts';

// Requests as the kernel sends them and replies as it takes them, byte for byte.

export const CALLER = { uid: 1000, gid: 100, pid: 4242, umask: 0 };

/** The attributes of `fillAttr` as `struct fuse_attr`. */
export const ATTR = hex(`
  1032547698badcfe 9a78563412000000 7700000000000000
  ffffffffffffffff de00000000000000 4d01000000000000
  6f000000 02000000 03000000 a4810000 03000000 e9030000 ea030000
  ff081000 00100000 00000000`);
/** 1e9 seconds. */
const LIFETIME = hex('00ca9a3b00000000');

/** `struct fuse_entry_out` of node 7, generation 5. */
export const ENTRY = Buffer.concat([u64(7, 5), LIFETIME, LIFETIME, u32(0, 0), ATTR]);
export const ATTR_OUT = Buffer.concat([LIFETIME, u32(0, 0), ATTR]);

export const fillEntry: Answers = {
  lookup: (_parent, _name, entry) => {
    Object.assign(entry, { node: 7, generation: 5, attributesLast: true });
    fillAttr(entry.attr);
    return 0;
  },
  getattr: (_node, _handle, attr) => (fillAttr(attr), 0),
  setattr: (_caller, _node, _handle, _change, attr) => (fillAttr(attr), 0),
  mknod: (_caller, parent, name, _mode, _rdev, entry) => fillEntry.lookup?.(parent, name, entry) ?? 0,
  mkdir: (_caller, parent, name, _mode, entry) => fillEntry.lookup?.(parent, name, entry) ?? 0,
  symlink: (_caller, parent, name, _target, entry) => fillEntry.lookup?.(parent, name, entry) ?? 0,
  link: (_node, parent, name, entry) => fillEntry.lookup?.(parent, name, entry) ?? 0,
  open: (_node, _flags, opened) => (
    Object.assign(opened, { handle: 9, keepCache: true, directIo: false, backing: 0 }),
    0
  ),
  opendir: (_node, opened) => (Object.assign(opened, { handle: 9, keepCache: false, directIo: false, backing: 0 }), 0),
  create: (_caller, parent, name, _mode, flags, entry, opened) => {
    fillEntry.open?.(0, flags, opened);
    return fillEntry.lookup?.(parent, name, entry) ?? 0;
  },
  tmpfile: (_caller, parent, _mode, flags, entry, opened) => {
    fillEntry.open?.(0, flags, opened);
    return fillEntry.lookup?.(parent, '', entry) ?? 0;
  },
};

/** A reply with the header: length, error, and the request's unique. */
export function reply(payload: Buffer, error = 0): Buffer {
  return Buffer.concat([u32(16 + payload.length, error), hex('8877665544332211'), payload]);
}

export interface Golden {
  readonly name: keyof typeof OPCODE;
  readonly what?: string;
  readonly body: readonly Buffer[];
  readonly answers: Answers;
  readonly calls: readonly unknown[];
  readonly payload: Buffer;
}

export const none = Buffer.alloc(0);
const OPEN_OUT = Buffer.concat([u64(9), u32(2 | 32, 0)]);

const NODES: readonly Golden[] = [
  { name: 'LOOKUP', body: [text('na\xefve')], answers: fillEntry, calls: [['lookup', 3, 'na\xefve']], payload: ENTRY },
  {
    name: 'LOOKUP',
    what: 'a name that is not there',
    body: [text('none')],
    answers: { lookup: () => 0 },
    calls: [['lookup', 3, 'none']],
    payload: Buffer.concat([u64(0, 0), LIFETIME, Buffer.alloc(104)]),
  },
  {
    name: 'GETATTR',
    what: 'without a handle',
    body: [u32(0, 0), u64(77)],
    answers: fillEntry,
    calls: [['getattr', 3, -1]],
    payload: ATTR_OUT,
  },
  {
    name: 'GETATTR',
    what: 'of an open file',
    body: [u32(1, 0), u64(77)],
    answers: fillEntry,
    calls: [['getattr', 3, 77]],
    payload: ATTR_OUT,
  },
  {
    name: 'STATX',
    body: [u32(0, 0), u64(0), u32(0, 0xfff)],
    answers: fillEntry,
    calls: [['getattr', 3, -1]],
    payload: Buffer.concat([
      LIFETIME,
      Buffer.alloc(24),
      hex(`ff0f0000 00100000 0000000000000000 03000000 e9030000 ea030000 a4810000
        1032547698badcfe 9a78563412000000 7700000000000000 0000000000000000
        ffffffffffffffff 6f00000000000000 bc01000000000000 2b02000000000000
        4d01000000000000 0300000000000000 de00000000000000 0200000000000000
        08000000 ff010000 09000000 01000000`),
      Buffer.alloc(112),
    ]),
  },
  {
    name: 'SETATTR',
    what: 'mode, owner, size and both times',
    body: [
      u32(0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40, 0),
      u64(77, 0x1_0000_0005, 0, 0xffffffffffffffffn, 2, 0),
      u32(30, 40, 0, 0o600, 0, 5, 6, 0),
    ],
    answers: fillEntry,
    calls: [
      [
        'setattr',
        CALLER,
        3,
        77,
        {
          valid: 1 | 2 | 4 | 8 | 16,
          mode: 0o600,
          uid: 5,
          gid: 6,
          size: 0x1_0000_0005,
          times: 'ffffffffffffffff1e00000000000000' + '02000000000000002800000000000000',
        },
      ],
    ],
    payload: ATTR_OUT,
  },
  {
    name: 'SETATTR',
    what: 'one time now, the other left, privileges cleared',
    body: [u32(0x20 | 0x100 | 0x800, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 0, 0, 0)],
    answers: fillEntry,
    calls: [
      [
        'setattr',
        CALLER,
        3,
        -1,
        {
          valid: 16 | 32,
          mode: 0,
          uid: 0,
          gid: 0,
          size: 0,
          times: '0000000000000000feffff3f00000000' + '0000000000000000ffffff3f00000000',
        },
      ],
    ],
    payload: ATTR_OUT,
  },
  {
    name: 'READLINK',
    body: [],
    answers: {
      readlink: (_node, address) => {
        store(address, Buffer.from('target'));
        return 6;
      },
    },
    calls: [['readlink', 3, expect.any(Number), 4095]],
    payload: Buffer.from('target'),
  },
  {
    name: 'STATFS',
    body: [],
    answers: {
      statfs: (_node, out) => {
        const values = [0xef53, 4096, 100, 90, 80, 70, 60, 0x1234, 255, 4096, 0];
        values.forEach((value, index) => out.view.setBigUint64(index * 8, BigInt(value), true));
        return 0;
      },
    },
    calls: [['statfs', 3]],
    payload: Buffer.concat([u64(100, 90, 80, 70, 60), u32(4096, 255, 4096, 0), Buffer.alloc(24)]),
  },
];

const NAMES: readonly Golden[] = [
  {
    name: 'MKNOD',
    body: [u32(0o20666, 0x501, 0o22, 0), text('tty')],
    answers: fillEntry,
    calls: [['mknod', { ...CALLER, umask: 0o22 }, 3, 'tty', 0o20666, 0x501]],
    payload: ENTRY,
  },
  {
    name: 'MKDIR',
    body: [u32(0o777, 0o27), text('d')],
    answers: fillEntry,
    calls: [['mkdir', { ...CALLER, umask: 0o27 }, 3, 'd', 0o777]],
    payload: ENTRY,
  },
  {
    name: 'SYMLINK',
    body: [text('link'), text('../target')],
    answers: fillEntry,
    calls: [['symlink', CALLER, 3, 'link', '../target']],
    payload: ENTRY,
  },
  {
    name: 'LINK',
    body: [u64(12), text('second')],
    answers: fillEntry,
    calls: [['link', 12, 3, 'second']],
    payload: ENTRY,
  },
  { name: 'UNLINK', body: [text('f')], answers: { unlink: () => 0 }, calls: [['unlink', 3, 'f']], payload: none },
  { name: 'RMDIR', body: [text('d')], answers: { rmdir: () => 0 }, calls: [['rmdir', 3, 'd']], payload: none },
  {
    name: 'RENAME',
    body: [u64(4), text('old'), text('new')],
    answers: { rename: () => 0 },
    calls: [['rename', 3, 'old', 4, 'new', 0]],
    payload: none,
  },
  {
    name: 'RENAME2',
    body: [u64(4), u32(2, 0), text('old'), text('new')],
    answers: { rename: () => 0 },
    calls: [['rename', 3, 'old', 4, 'new', 2]],
    payload: none,
  },
];

export const ioctlIn = (flags: number): Buffer => Buffer.concat([u64(9), u32(flags, 0x6602), u64(0xabc), u32(4, 8)]);

const FILES: readonly Golden[] = [
  {
    name: 'OPEN',
    body: [u32(0o2 | 0o1000, 0)],
    answers: fillEntry,
    calls: [['open', 3, 0o1002]],
    payload: OPEN_OUT,
  },
  {
    name: 'OPEN',
    what: 'with truncation that clears setuid',
    body: [u32(0o1001, 1)],
    answers: fillEntry,
    calls: [
      ['open', 3, 0o1001],
      ['setattr', CALLER, 3, 9, expect.objectContaining({ valid: 8 | 32, size: 0 })],
    ],
    payload: OPEN_OUT,
  },
  {
    name: 'CREATE',
    body: [u32(0o302, 0o100666, 0o22, 0), text('f')],
    answers: fillEntry,
    calls: [['create', { ...CALLER, umask: 0o22 }, 3, 'f', 0o100666, 0o2]],
    payload: Buffer.concat([ENTRY, OPEN_OUT]),
  },
  {
    name: 'TMPFILE',
    body: [u32(0o20200002, 0o100600, 0o22, 0), text('#1')],
    answers: fillEntry,
    calls: [['tmpfile', { ...CALLER, umask: 0o22 }, 3, 0o100600, 0o20200002]],
    payload: Buffer.concat([ENTRY, OPEN_OUT]),
  },
  {
    name: 'READ',
    body: [u64(9, 0x1_0000_0000), u32(4096, 0), u64(0), u32(0, 0)],
    answers: {
      read: (_node, _handle, _offset, _size, address) => {
        store(address, Buffer.from('data'));
        return 4;
      },
    },
    calls: [['read', 3, 9, 0x1_0000_0000, 4096, expect.any(Number), true]],
    payload: Buffer.from('data'),
  },
  {
    name: 'WRITE',
    body: [u64(9, 5), u32(4, 4), u64(0), u32(0, 0), Buffer.from('data')],
    answers: {
      write: (_node, _handle, _offset, size, address) => (bytesAt(address, size).toString() === 'data' ? 4 : -EINVAL),
    },
    calls: [['write', 3, 9, 5, 4, expect.any(Number), WRITE.killPrivileges | WRITE.buffered]],
    payload: u32(4, 0),
  },
  {
    name: 'RELEASE',
    body: [u64(9), u32(2, 0), u64(0)],
    answers: { release: () => undefined },
    calls: [['release', 3, 9]],
    payload: none,
  },
  {
    name: 'FSYNC',
    body: [u64(9), u32(1, 0)],
    answers: { fsync: () => 0 },
    calls: [['fsync', 3, 9, true]],
    payload: none,
  },
  {
    name: 'FALLOCATE',
    body: [u64(9, 4096, 8192), u32(3, 0)],
    answers: { fallocate: () => 0, setattr: () => 0 },
    calls: [
      ['fallocate', 3, 9, 3, 4096, 8192],
      ['setattr', CALLER, 3, 9, expect.objectContaining({ valid: 32 })],
    ],
    payload: none,
  },
  {
    name: 'LSEEK',
    body: [u64(9, 4096), u32(4, 0)],
    answers: { lseek: () => 0x2_0000_0001 },
    calls: [['lseek', 3, 9, 4096, 4]],
    payload: u64(0x2_0000_0001),
  },
  {
    name: 'COPY_FILE_RANGE',
    body: [u64(9, 1, 4, 10, 2, 0xffffffffn, 0)],
    answers: { copyFileRange: () => 300, setattr: () => 0 },
    calls: [
      ['copyFileRange', 3, 9, 1, 4, 10, 2, 64 * 1024 * 1024],
      ['setattr', CALLER, 4, 10, expect.objectContaining({ valid: 32 })],
    ],
    payload: u32(300, 0),
  },
  {
    name: 'COPY_FILE_RANGE_64',
    body: [u64(9, 1, 4, 10, 2, 500, 0)],
    answers: { copyFileRange: () => 300, setattr: () => 0 },
    calls: [
      ['copyFileRange', 3, 9, 1, 4, 10, 2, 500],
      ['setattr', CALLER, 4, 10, expect.objectContaining({ valid: 32 })],
    ],
    payload: u64(300),
  },
  {
    name: 'IOCTL',
    body: [ioctlIn(0), Buffer.from('abcd')],
    answers: {
      ioctl: (_node, _handle, _request, address, input) => {
        if (bytesAt(address, input).toString() !== 'abcd') return -EINVAL;
        store(address, Buffer.from('answered'));
        return 1;
      },
    },
    calls: [['ioctl', 3, 9, 0x6602, expect.any(Number), 4, 8]],
    payload: Buffer.concat([u32(1, 0, 0, 0), Buffer.from('answered')]),
  },
  {
    name: 'IOCTL',
    what: 'on a directory',
    body: [ioctlIn(16), Buffer.from('abcd')],
    answers: { ioctl: () => 0 },
    calls: [['ioctl', 3, -1, 0x6602, expect.any(Number), 4, 8]],
    payload: Buffer.concat([u32(0, 0, 0, 0), Buffer.from('abcd\0\0\0\0')]),
  },
  { name: 'SYNCFS', body: [u64(0)], answers: { syncfs: () => 0 }, calls: [['syncfs', 3]], payload: none },
];

const dirent = (ino: number, next: number, type: number, name: string): Buffer =>
  Buffer.concat([u64(ino, next), u32(name.length, type), Buffer.from(name), Buffer.alloc(-name.length & 7)]);
const readIn = (offset: number, size: number): Buffer =>
  Buffer.concat([u64(9, offset), u32(size, 0), u64(0), u32(0, 0)]);

const DIRECTORIES: readonly Golden[] = [
  {
    name: 'OPENDIR',
    body: [u32(0o200000, 0)],
    answers: fillEntry,
    calls: [['opendir', 3]],
    payload: Buffer.concat([u64(9), u32(0, 0)]),
  },
  {
    name: 'OPENDIR',
    what: 'whose listing may stay cached',
    body: [u32(0o200000, 0)],
    answers: { opendir: (_node, opened) => (Object.assign(opened, { handle: 1, keepCache: true }), 0) },
    calls: [['opendir', 3]],
    payload: Buffer.concat([u64(1), u32(2 | 8, 0)]),
  },
  {
    name: 'READDIR',
    body: [readIn(5, 4096)],
    answers: {
      readdir: (_node, _handle, _offset, sink) => {
        sink.add('.', 1, 4, 6);
        sink.add('12345678', 2, 8, 7);
        return 0;
      },
    },
    calls: [['readdir', 3, 9, 5]],
    payload: Buffer.concat([dirent(1, 6, 4, '.'), dirent(2, 7, 8, '12345678')]),
  },
  {
    name: 'READDIR',
    what: 'into a buffer that holds one entry',
    body: [readIn(0, 32)],
    answers: {
      readdir: (_node, _handle, _offset, sink) => {
        for (const name of ['first', 'second']) if (sink.fits(name)) sink.add(name, 1, 8, 1);
        return 0;
      },
    },
    calls: [['readdir', 3, 9, 0]],
    payload: dirent(1, 1, 8, 'first'),
  },
  {
    name: 'READDIRPLUS',
    body: [readIn(0, 4096)],
    answers: {
      readdir: (parent, _handle, _offset, sink) => {
        sink.entry.node = 0;
        sink.add('..', 1, 4, 1);
        fillEntry.lookup?.(parent, 'f', sink.entry);
        sink.add('f', 2, 8, 2);
        return 0;
      },
    },
    calls: [['readdir', 3, 9, 0]],
    payload: Buffer.concat([Buffer.alloc(128), dirent(1, 1, 4, '..'), ENTRY, dirent(2, 2, 8, 'f')]),
  },
  {
    name: 'RELEASEDIR',
    body: [u64(9), u32(0, 0), u64(0)],
    answers: { releasedir: () => undefined },
    calls: [['releasedir', 3, 9]],
    payload: none,
  },
  {
    name: 'FSYNCDIR',
    body: [u64(9), u32(0, 0)],
    answers: { fsyncdir: () => 0 },
    calls: [['fsyncdir', 3, 9, false]],
    payload: none,
  },
];

const putValue = (address: number, size: number): number => {
  if (size > 0) store(address, Buffer.from('value'));
  return 5;
};

const XATTRS: readonly Golden[] = [
  {
    name: 'GETXATTR',
    body: [u32(64, 0), text('user.x')],
    answers: { getxattr: (_node, _name, address, size) => putValue(address, size) },
    calls: [['getxattr', 3, 'user.x', expect.any(Number), 64]],
    payload: Buffer.from('value'),
  },
  {
    name: 'GETXATTR',
    what: 'for the length',
    body: [u32(0, 0), text('user.x')],
    answers: { getxattr: (_node, _name, address, size) => putValue(address, size) },
    calls: [['getxattr', 3, 'user.x', expect.any(Number), 0]],
    payload: u32(5, 0),
  },
  {
    name: 'LISTXATTR',
    body: [u32(64, 0)],
    answers: { listxattr: (_node, address, size) => putValue(address, size) },
    calls: [['listxattr', 3, expect.any(Number), 64, false]],
    payload: Buffer.from('value'),
  },
  {
    name: 'SETXATTR',
    body: [u32(5, 1, 0, 0), text('user.x'), Buffer.from('value')],
    answers: {
      setxattr: (_node, _name, address, size) => (bytesAt(address, size).toString() === 'value' ? 0 : -EINVAL),
    },
    calls: [['setxattr', 3, 'user.x', expect.any(Number), 5, 1]],
    payload: none,
  },
  {
    name: 'REMOVEXATTR',
    body: [text('user.x')],
    answers: { removexattr: () => 0 },
    calls: [['removexattr', 3, 'user.x']],
    payload: none,
  },
  { name: 'DESTROY', body: [], answers: {}, calls: [], payload: none },
];

/** One request at least for each opcode that has a reply. */
export const GOLDEN: readonly Golden[] = [...NODES, ...NAMES, ...FILES, ...DIRECTORIES, ...XATTRS];

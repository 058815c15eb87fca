import { tar } from './archives.ts';

const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');

/** Of each kind of entry one, and what upper layers do to lower ones. */
export const LAYERS = [
  tar(
    { name: './', type: '5', mode: 0o755, mtime: 1_600_000_000 },
    { name: 'bin/', type: '5', mode: 0o2755, mtime: 1_600_000_001 },
    { name: 'bin/su', data: 'set-uid', mode: 0o4755, mtime: 1_600_000_002 },
    { name: 'bin/linked', type: '1', linkname: 'bin/su', mode: 0o4755, mtime: 1_600_000_002 },
    { name: 'bin/symlink', type: '2', linkname: '../etc/target' },
    { name: 'etc/', type: '5', mode: 0o711, uid: 12, gid: 34, mtime: 1_600_000_003 },
    { name: 'etc/times', data: 'ns', pax: { mtime: '1600000004.123456789' } },
    { name: 'etc/gone', data: 'gone' },
    { name: 'etc/changed', data: 'before', mode: 0o600 },
    { name: 'opaque/', type: '5', mode: 0o755 },
    { name: 'opaque/below', data: 'below' },
    { name: 'kind', data: 'a file' },
  ),
  tar(
    { name: 'etc/', type: '5', mode: 0o750, uid: 12, gid: 35, mtime: 1_600_000_005 },
    { name: 'etc/.wh.gone' },
    { name: 'etc/changed', data: 'after', mode: 0o640, uid: 100_000, gid: 7 },
    {
      name: 'etc/attributes',
      data: 'x',
      pax: { 'SCHILY.xattr.user.note': 'kept', 'SCHILY.xattr.security.capability': CAPABILITY },
    },
    { name: 'opaque/', type: '5', mode: 0o700, mtime: 1_600_000_006 },
    { name: 'opaque/.wh..wh..opq' },
    { name: 'opaque/new', data: 'new' },
    { name: 'kind/', type: '5', mode: 0o755, mtime: 1_600_000_007 },
    { name: 'kind/inner', data: 'inner' },
    { name: 'fifo', type: '6', mode: 0o622 },
  ),
];

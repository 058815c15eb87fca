import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, tar } from './archives.ts';
import { snapshot, Target, unpackStack } from './ground.ts';

const EMPTY_SHA = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const OPAQUE = `trusted.overlay.opaque=${Buffer.from('y').toString('hex')}`;
const WHITEOUT = '20000 0:0';

function lines(path: string): string[] {
  return snapshot(path, false);
}

describe.skipIf(isRoot())(titled('unpackLayer', isRoot()), () => {
  test('sets type, mode, owner, nanosecond times, xattrs and content', async () => {
    const target = new Target();
    const capability = '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';
    await target.unpack(
      tar(
        { name: './', type: '5', mode: 0o751, mtime: 5 },
        { name: 'setuid', mode: 0o4755, uid: 12, gid: 34, data: 'run', pax: { mtime: '1.000000007' } },
        { name: 'capable', mode: 0o755, uid: 1, pax: { 'SCHILY.xattr.security.capability': capability } },
        { name: 'link', type: '2', linkname: '/etc/passwd', uid: 5, gid: 6, pax: { mtime: '-1.5' } },
        { name: 'sticky/', type: '5', mode: 0o1777, mtime: 9 },
        { name: 'sticky/inside', data: '' },
        { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
        { name: 'loop', type: '4', major: 7, minor: 300 },
        { name: 'fifo', type: '6', mode: 0o620 },
        { name: 'caf\xe9', pax: { 'SCHILY.xattr.user.note': 'a=b\n' } },
      ),
    );
    const found = snapshot(target.path).map((line) =>
      line.replace(/[0-9a-f]{64}/, (hash) => (hash === EMPTY_SHA ? 'EMPTY' : 'HASH')),
    );
    expect(found).toEqual(
      [
        '. 40751 0:0 5000000000',
        `capable 100755 1:0 1000000000000000000 0 EMPTY security.capability=${Buffer.from(capability, 'latin1').toString('hex')}`,
        `caf\xe9 100644 0:0 1000000000000000000 0 EMPTY user.note=${Buffer.from('a=b\n').toString('hex')}`,
        'fifo 10620 0:0 1000000000000000000',
        'link 120777 5:6 -1500000000 -> /etc/passwd',
        `loop 60644 0:0 1000000000000000000 device ${((300 & ~0xff) << 12) | (7 << 8) | (300 & 0xff)}`,
        `null 20666 0:0 1000000000000000000 device ${(1 << 8) | 3}`,
        'setuid 104755 12:34 1000000007 3 HASH',
        'sticky 41777 0:0 9000000000',
        'sticky/inside 100644 0:0 1000000000000000000 0 EMPTY',
      ].sort(),
    );
  });

  test('makes one file of hard links, whichever directory they are in', async () => {
    const target = new Target();
    await target.unpack(
      tar(
        { name: 'a/', type: '5' },
        { name: 'a/file', data: 'one' },
        { name: 'b/link', type: '1', linkname: './a/file' },
        { name: 'absolute', type: '1', linkname: '/a/file' },
        { name: 'symlink', type: '2', linkname: 'nowhere' },
        { name: 'to-symlink', type: '1', linkname: 'symlink' },
      ),
    );
    const inode = (name: string): number => lstatSync(join(target.path, name)).ino;
    expect(inode('b/link')).toBe(inode('a/file'));
    expect(inode('absolute')).toBe(inode('a/file'));
    expect(inode('to-symlink')).toBe(inode('symlink'));
  });

  test('lets the later of two entries win, whatever they are', async () => {
    const target = new Target();
    await target.unpack(
      tar(
        { name: 'file-then-directory', data: 'x' },
        { name: 'file-then-directory/', type: '5' },
        { name: 'directory-then-file/', type: '5' },
        { name: 'directory-then-file/below/deeper', data: 'x' },
        { name: 'directory-then-file', data: '' },
        { name: 'link-then-file', type: '2', linkname: 'other' },
        { name: 'link-then-file', data: '' },
        { name: 'twice/', type: '5', mode: 0o700 },
        { name: 'twice/kept' },
        { name: 'twice/', type: '5', mode: 0o711 },
        { name: 'one', data: 'x' },
        { name: 'two', type: '1', linkname: 'one' },
        { name: 'one', data: '' },
      ),
    );
    expect(lines(target.path).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '. 40755',
      'directory-then-file 100644',
      'file-then-directory 40755',
      'link-then-file 100644',
      'one 100644',
      'twice 40711',
      'twice/kept 100644',
      'two 100644',
    ]);
    expect(lstatSync(join(target.path, 'two')).size).toBe(1);
  });

  test('keeps nothing of a directory whose place was taken', async () => {
    const target = new Target();
    await target.unpack(
      tar(
        { name: 'd/sub/', type: '5', mode: 0o700, uid: 9 },
        { name: 'd/gone/', type: '5', mode: 0o700, uid: 9 },
        { name: 'd', data: '' },
        { name: 'd/', type: '5' },
        { name: 'd/sub', data: '', uid: 4 },
        { name: 'e/f/', type: '5', mode: 0o700 },
        { name: 'e', type: '2', linkname: 'd' },
      ),
    );
    expect(lines(target.path).slice(1)).toEqual([
      'd 40755 0:0',
      `d/sub 100644 4:0 0 ${EMPTY_SHA}`,
      'e 120777 0:0 -> d',
    ]);
  });

  test('strips leading slashes and dots', async () => {
    const target = new Target();
    await target.unpack(tar({ name: '/absolute' }, { name: './dotted//name' }, { name: '././x' }));
    expect(lines(target.path).map((line) => line.split(' ')[0])).toEqual([
      '.',
      'absolute',
      'dotted',
      'dotted/name',
      'x',
    ]);
  });
});

describe.skipIf(isRoot())(titled('unpackLayer over lower layers', isRoot()), () => {
  const base = tar(
    { name: './', type: '5', mode: 0o700, uid: 3 },
    { name: 'dir/', type: '5', mode: 0o1770, uid: 7, gid: 8, mtime: 77, pax: { 'SCHILY.xattr.user.kept': 'yes' } },
    { name: 'dir/one' },
    { name: 'dir/two' },
    { name: 'other/', type: '5' },
    { name: 'other/file' },
    { name: 'file' },
  );

  async function second(...entries: ArchiveEntry[]): Promise<string[]> {
    const [, path] = await unpackStack(base, tar(...entries));
    return lines(path ?? '').slice(1);
  }

  test('turns whiteouts into devices 0:0', async () => {
    const found = await second({ name: 'dir/', type: '5' }, { name: 'dir/.wh.one' }, { name: '.wh.other' });
    expect(found.map((line) => line.replace(' device 0', ''))).toEqual([
      'dir 40755 0:0',
      `dir/one ${WHITEOUT}`,
      `other ${WHITEOUT}`,
    ]);
  });

  test('leaves out whiteouts of what no lower layer has', async () => {
    expect(await second({ name: '.wh.never' }, { name: 'dir/.wh.never' }, { name: 'file/.wh.x' })).toEqual([]);
  });

  test('marks a directory opaque wherever the marker stands', async () => {
    const directory = { name: 'dir/', type: '5' };
    const file = { name: 'dir/new' };
    const marker = { name: 'dir/.wh..wh..opq' };
    const expected = [`dir 40755 0:0 ${OPAQUE}`, `dir/new 100644 0:0 0 ${EMPTY_SHA}`];
    expect(await second(directory, file, marker)).toEqual(expected);
    expect(await second(directory, marker, file)).toEqual(expected);
    expect(await second(marker, directory, file)).toEqual(expected);
  });

  test('makes a directory opaque that is whited out and made anew', async () => {
    expect(await second({ name: '.wh.dir' }, { name: 'dir/', type: '5' })).toEqual([`dir 40755 0:0 ${OPAQUE}`]);
    expect(await second({ name: 'dir/', type: '5' }, { name: '.wh.dir' })).toEqual([`dir 40755 0:0 ${OPAQUE}`]);
    expect(await second({ name: 'dir' }, { name: 'dir/', type: '5' })).toEqual([`dir 40755 0:0 ${OPAQUE}`]);
  });

  test('makes no directory for a mark below one that hides all', async () => {
    const inner = { name: 'dir/sub/.wh.x' };
    const [, , path = ''] = await unpackStack(
      base,
      tar({ name: 'dir/sub/x' }, { name: 'dir/sub/y' }),
      tar({ name: 'dir/', type: '5' }, { name: 'dir/.wh..wh..opq' }, inner, { name: 'dir/sub/.wh..wh..opq' }),
    );
    expect(lines(path).slice(1)).toEqual([`dir 40755 0:0 ${OPAQUE}`]);
    expect(await second({ name: '.wh.dir' }, { name: 'dir/', type: '5' }, inner)).toEqual([`dir 40755 0:0 ${OPAQUE}`]);
  });

  test('lets a file stand that is whited out as well', async () => {
    expect(await second({ name: 'file', data: '' }, { name: '.wh.file' })).toEqual([`file 100644 0:0 0 ${EMPTY_SHA}`]);
  });

  test('gives directories that the archive leaves out the look they have below', async () => {
    const [, path = ''] = await unpackStack(base, tar({ name: 'dir/deep/er', data: '' }));
    const found = snapshot(path);
    expect(found[0]).toMatch(/^\. 40700 3:0 /);
    expect(found[1]).toBe(`dir 41770 7:8 77000000000 user.kept=${Buffer.from('yes').toString('hex')}`);
    expect(found[2]).toMatch(/^dir\/deep 40755 0:0 /);
  });

  test('takes the look of a directory from the topmost layer that shows it', async () => {
    const [, , , path = ''] = await unpackStack(
      base,
      tar({ name: '.wh.dir' }),
      tar({ name: 'dir/', type: '5', mode: 0o711 }),
      tar({ name: 'dir/x', data: '' }, { name: 'dir/.wh.one' }),
    );
    // The whiteout of the second layer hides dir/one of the first: there is nothing to white out.
    expect(lines(path).slice(1)).toEqual(['dir 40711 0:0', `dir/x 100644 0:0 0 ${EMPTY_SHA}`]);
  });

  test('makes no marks in the bottom layer', async () => {
    const [path = ''] = await unpackStack(
      tar({ name: 'd/', type: '5' }, { name: 'd/.wh..wh..opq' }, { name: '.wh.x' }),
    );
    expect(lines(path).slice(1)).toEqual(['d 40755 0:0']);
  });

  test("ignores AUFS's bookkeeping", async () => {
    expect(
      await second({ name: '.wh..wh.plnk/', type: '5' }, { name: '.wh..wh.plnk/1.2' }, { name: '.wh..wh.aufs' }),
    ).toEqual([]);
  });

  test('hides a lower directory whose name a symlink takes', async () => {
    const found = await second({ name: 'dir', type: '2', linkname: 'other' });
    expect(found).toEqual(['dir 120777 0:0 -> other']);
    expect(existsSync('other')).toBe(false);
  });
});

import { closeSync, mkdirSync, openSync, readFileSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { ociArchive, tar } from './archives.ts';
import { run, snapshot, Target, temporary, unpackStack } from './ground.ts';
import { mergedLines } from './merged-view.ts';

/** A tree with all that a layer may hold. Users have numbers that no machine has names for. */
function makeTree(root: string): void {
  const path = (name: string): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);
  const shell = (...lines: readonly string[]): void => void run('sh', '-ec', `cd ${root}\n${lines.join('\n')}`);
  mkdirSync(join(root, 'd/deep/er'), { recursive: true });
  for (const name of ['plain', 'caf\xe9\xff', 'new\nline', ' ', 'n'.repeat(255), 'quote"\\', '日本']) {
    writeFileSync(path(name === '日本' ? Buffer.from(name).toString('latin1') : name), name);
  }
  const long = `${'l'.repeat(200)}/${'m'.repeat(200)}`;
  mkdirSync(join(root, long), { recursive: true });
  writeFileSync(join(root, long, 'file'), 'deep');
  const sparse = openSync(join(root, 'sparse'), 'w');
  writeSync(sparse, 'begin', 0);
  writeSync(sparse, 'middle', 3_000_000);
  closeSync(sparse);
  shell(
    'ln plain d/hard; ln plain d/deep/hard; ln -s nowhere d/dangling; ln d/dangling d/hard-symlink',
    `ln -s ${'t'.repeat(300)} d/long-target`,
    'truncate -s 10M sparse; mkfifo d/fifo; mknod d/null c 1 3; mknod d/loop b 7 300',
    'chown 4000000:5000000 d/hard; chown -h 7:8 d/dangling; chown 1000:1001 d',
    'cp plain suid; chown 1000:1001 suid; chmod 6755 suid',
    'chmod 2775 d/deep; chmod 1777 d/deep/er; chmod 000 sparse',
    'setfattr -n user.note -v yes plain; setfattr -n user.binary -v 0x00ff0a3d00 plain; setfattr -n user.dir -v y d',
    'setfattr -n trusted.note -v root plain; setfattr -h -n trusted.link -v root d/dangling',
    'cp plain capable; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 capable',
    'setfacl -m u:12345:r,g:12346:rw,m::rx plain; setfacl -m u:12345:rwx d; setfacl -d -m u:12345:rx,g::r,o::- d',
  );
  for (const [name, seconds] of [
    ['plain', -300_000_000.25],
    ['suid', 4_000_000_000.5],
    ['d/deep/er', 0],
    ['d', 1.000001],
  ] as const) {
    utimesSync(join(root, name), seconds, seconds);
  }
}

const noTar = firstMissing(isRoot(), has('tar'), has('setfacl'), has('setfattr'));

describe.skipIf(noTar)(titled('unpackLayer makes the tree that GNU tar makes', noTar), () => {
  // An unpacker that sets the mode before the owner loses set-id bits, one that sets a directory's times before it fills
  // it loses them, one that reads names as UTF-8 loses names.
  const formats: readonly (readonly [string, ...string[]])[] = [
    ['of PAX', '--format=pax'],
    ['of PAX with sparse files', '--format=pax', '--sparse'],
    ['of GNU', '--format=gnu', '--sparse'],
  ];

  test.each(formats)('%s', async (_, ...options) => {
    const base = temporary();
    const [source, other] = [join(base, 'source'), join(base, 'other')];
    mkdirSync(source);
    mkdirSync(other);
    makeTree(source);
    const attributes = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner'];
    run(
      'tar',
      '-C',
      source,
      ...options,
      ...(options.includes('--format=gnu') ? [] : attributes),
      '-cf',
      join(base, 'a.tar'),
      '.',
    );
    run('tar', '-C', other, ...attributes, '-xpf', join(base, 'a.tar'));
    const target = new Target();
    await target.unpack(readFileSync(join(base, 'a.tar')));
    expect(snapshot(target.path)).toEqual(snapshot(other));
    if (!options.includes('--format=gnu')) expect(snapshot(target.path)).toEqual(snapshot(source));
    expect(target.warnings.lines()).toEqual([]);
  });
});

const noUmoci = firstMissing(isRoot(), has('umoci'), has('tar'));

describe.skipIf(noUmoci)(titled('unpackLayer makes of several layers what umoci makes', noUmoci), () => {
  test('with whiteouts and opaque marks in any order', async () => {
    const layers = [
      tar(
        { name: 'a/', type: '5', mode: 0o750, uid: 7, mtime: 5 },
        { name: 'a/one', data: '1' },
        { name: 'a/two', data: '2', pax: { 'SCHILY.xattr.user.note': 'kept' } },
        { name: 'b/', type: '5' },
        { name: 'b/deep/', type: '5' },
        { name: 'b/deep/file', data: 'x' },
        { name: 'c', data: 'c', mode: 0o4755, uid: 1000 },
        { name: 'd', type: '1', linkname: 'c' },
        { name: 'gone', type: '2', linkname: 'c' },
        { name: 'dir/', type: '5' },
        { name: 'dir/below' },
      ),
      tar(
        { name: 'a/', type: '5', mode: 0o711, mtime: 6 },
        { name: 'a/.wh.one' },
        { name: '.wh.gone' },
        { name: 'b/', type: '5', mtime: 7 },
        // After what it is not to hide.
        { name: 'b/new', data: 'n' },
        { name: 'b/.wh..wh..opq' },
        { name: 'dir', data: 'now a file' },
        { name: 'c/', type: '5' },
        { name: 'c/in', data: 'now a directory' },
      ),
      tar(
        { name: './', type: '5', mtime: 9 },
        { name: '.wh.c' },
        { name: 'c', type: '2', linkname: 'd' },
        { name: 'e', type: '6' },
      ),
    ];
    const base = temporary();
    mkdirSync(join(base, 'oci'));
    writeFileSync(
      join(base, 'oci.tar'),
      ociArchive({ layers, names: ['x'] }, (layer) => gzipSync(layer)),
    );
    run('tar', '-C', join(base, 'oci'), '-xf', join(base, 'oci.tar'));
    run('umoci', 'unpack', '--image', `${join(base, 'oci')}:x`, join(base, 'bundle'));
    const paths = await unpackStack(...layers);
    const owners = { base: 0, isSingle: false };
    const withoutImplied = (lines: readonly string[]): string[] =>
      lines.filter((line) => !/^(?:\.|dir) directory /.test(line));
    expect(withoutImplied(mergedLines(paths.toReversed(), owners))).toEqual(
      withoutImplied(mergedLines([join(base, 'bundle/rootfs')], owners)),
    );
  });
});

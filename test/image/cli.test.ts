import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';

import { firstMissing, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, ociArchive, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { run, snapshot, temporary } from './ground.ts';

const BOTTOM = tar({ name: 'd/', type: '5', mode: 0o700 }, { name: 'd/f', data: 'x' }, { name: 'null' });
const TOP = tar(
  { name: 'd/', type: '5', uid: 5, gid: 6, mode: 0o750 },
  { name: 'd/.wh..wh..opq' },
  { name: 'd/owned', data: 'y', uid: 1000, gid: 1001, mode: 0o4755 },
  { name: 'null', type: '3', major: 1, minor: 3 },
  { name: 'link', type: '2', linkname: 'd', uid: 7, gid: 7 },
);
const IMAGE = { layers: [BOTTOM, TOP], names: ['debian:12', 'ghcr.io/a/b:c'] };
const LAYER_IDS = IMAGE.layers.map((layer) => `sha256:${sha256(layer)}`);

/** Architecture of the machine that runs the tests. */
const machine = process.arch === 'x64' ? 'amd64' : process.arch;
const archive = dockerArchive({ ...IMAGE, architecture: machine, config: { Cmd: ['/bin/sh'], Env: ['A=1'] } });

describe.skipIf(isRoot())(titled('lamina load', isRoot()), () => {
  test('reads a file or standard input and prints what it loaded', () => {
    const line = new CommandLine();
    const file = join(temporary(), 'image.tar');
    writeFileSync(file, archive);
    expect(line.output(['load', '-i', file])).toBe('Loaded image: debian:12\nLoaded image: ghcr.io/a/b:c\n');
    const untagged = dockerArchive({ layers: [BOTTOM], architecture: machine });
    expect(line.output(['load'], untagged)).toMatch(/^Loaded image ID: sha256:[0-9a-f]{64}\n$/);
    expect(line.output(['load', '-q', '--name', 'own/name:1'], untagged)).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(line.output(['images'])).toMatch(/^own\/name +1 /m);
  });

  const evil = (...entries: ArchiveEntry[]): Buffer =>
    dockerArchive({ layers: [tar(...entries)], architecture: machine });
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a truncated archive', archive.subarray(0, 3000), /truncated/],
    [
      'a layer with a wrong digest',
      dockerArchive({ layers: [BOTTOM], diffIds: [`sha256:${'1'.repeat(64)}`], architecture: machine }),
      /layer sha256:1+: its content has another digest/,
    ],
    ['a name with ..', evil({ name: 'a/../../b' }), /entry "a\/..\/..\/b": its name climbs with "\.\."/],
    [
      'an entry through a symlink',
      evil({ name: 'l', type: '2', linkname: '/etc' }, { name: 'l/passwd' }),
      /entry "l\/passwd": it goes through the symlink "l"/,
    ],
    [
      'an image for another architecture',
      ociArchive({ ...IMAGE, architecture: 's390x' }),
      /is for linux\/s390x, not for linux\/(amd64|arm64); --platform linux\/s390x/,
    ],
  ];

  test.each(cases)('refuses %s in one line', (_, input, message) => {
    const line = new CommandLine();
    const { status, stdout, stderr } = line.call(['load'], input);
    expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 1, stdout: '', lines: 2 });
    expect(stderr).toMatch(/^lamina: cannot load standard input: /);
    expect(stderr).toMatch(message);
    expect(readdirSync(join(line.root, 'layers'))).toEqual([]);
    expect(line.output(['images', '-q'])).toBe('');
  });

  test('says why a file cannot be read', () => {
    const line = new CommandLine();
    const base = temporary();
    expect(line.call(['load', '-i', join(base, 'none.tar')]).stderr).toMatch(/none\.tar: .*no such file/);
    expect(line.call(['load', '-i', base]).stderr).toMatch(/is empty/);
    expect(line.call(['load', '--limit', 'entries=many'], archive).stderr).toMatch(/"many" is not a number/);
    expect(line.call(['load', '--limit', 'files=1'], archive).stderr).toMatch(
      /is not NAME=VALUE.*archive-size, layer-size, ratio/,
    );
    expect(line.call(['load', '--limit', 'entries=3', '--limit', 'ratio=5'], archive).stderr).toMatch(
      /number of entries .* over the limit of 3; --limit entries=N sets another/,
    );
    expect(line.call(['load', '--platform', 'arm64'], archive).stderr).toMatch(/"arm64" is not OS\/ARCHITECTURE/);
  });

  test('refuses a store in a directory of others', () => {
    const line = new CommandLine();
    mkdirSync(line.root);
    writeFileSync(join(line.root, 'precious'), '');
    const { status, stderr } = line.call(['load'], archive);
    expect(status).toBe(1);
    expect(stderr).toMatch(/is not empty and not a store of lamina; set LAMINA_ROOT/);
  });
});

describe.skipIf(isRoot())(titled('lamina images and image', isRoot()), () => {
  test('list, describe and remove', () => {
    const line = new CommandLine();
    line.output(['load'], archive);
    const [head, first = '', second] = line.output(['images']).split('\n');
    expect(head).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
    expect(first).toMatch(/^debian +12 +[0-9a-f]{12} +N\/A +2B$/);
    expect(second).toMatch(/^ghcr\.io\/a\/b +c +/);
    const id = line.output(['images', '-q']).trim();
    expect(id).toMatch(/^[0-9a-f]{12}$/);
    expect(line.output(['image', 'ls', '-q', '--no-trunc'])).toContain(`sha256:${id}`);
    const [listed] = JSON.parse(line.output(['images', '--json'])) as { names: string[]; layers: number }[];
    expect(listed).toMatchObject({ names: ['docker.io/library/debian:12', 'ghcr.io/a/b:c'], layers: 2 });
    const described = JSON.parse(line.output(['image', 'inspect', id, 'debian:12'])) as unknown[];
    expect(described).toHaveLength(2);
    expect(described[0]).toMatchObject({
      RepoTags: ['debian:12', 'ghcr.io/a/b:c'],
      Architecture: machine,
      Os: 'linux',
      Size: 2,
      Config: { Cmd: ['/bin/sh'], Env: ['A=1'], Entrypoint: null },
      RootFS: { Type: 'layers', Layers: LAYER_IDS },
    });
    expect(line.output(['image', 'rm', 'ghcr.io/a/b:c'])).toBe('Untagged: ghcr.io/a/b:c\n');
    expect(line.output(['image', 'rm', id])).toMatch(/^Untagged: debian:12\nDeleted: sha256:/);
    expect(readdirSync(join(line.root, 'layers'))).toEqual([]);
  });

  test('say what is not there', () => {
    const { status, stdout, stderr } = new CommandLine().call(['image', 'inspect', 'nothing']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '[]\n' });
    expect(stderr).toMatch(/^lamina: image "nothing" is not in the store; .*\n$/);
  });
});

describe.skipIf(isRoot())(titled('lamina load, interrupted', isRoot()), () => {
  test('leaves a store that works, wherever it is killed', async () => {
    const line = new CommandLine();
    const files = Array.from({ length: 300 }, (_, at) => ({ name: `files/${at}`, data: 'x'.repeat(at) }));
    const many = dockerArchive({ layers: [BOTTOM, tar(...files)], names: ['many'], architecture: machine });
    const file = join(temporary(), 'many.tar');
    writeFileSync(file, many);
    const watched = (name: string): number => readdirSync(join(line.root, name)).length;
    // Each time it is let come further: to its first scratch file, to its first layer, to its index.
    const stages = [
      (): boolean => existsSync(join(line.root, 'tmp')) && watched('tmp') > 0,
      (): boolean => existsSync(join(line.root, 'layers')) && watched('layers') > 0,
      (): boolean => existsSync(join(line.root, 'blobs/sha256')) && watched('blobs/sha256') > 0,
    ];
    for (const reached of stages) {
      const child = line.start(['load', '-i', file]);
      const ended = once(child, 'exit');
      while (child.exitCode === null && !reached()) await setImmediate();
      child.kill('SIGKILL');
      await ended;
      expect(line.output(['images', '--json'])).toMatch(/^\[/);
      expect(watched('tmp')).toBe(0);
    }
    expect(line.output(['load', '-i', file])).toBe('Loaded image: many:latest\n');
    const [image] = JSON.parse(line.output(['image', 'inspect', 'many'])) as { Size: number; ChainIDs: string[] }[];
    expect(image?.Size).toBe((299 * 300) / 2 + 1);
    const top = join(line.root, 'layers', (image?.ChainIDs[1] ?? '').slice('sha256:'.length));
    expect(readdirSync(join(top, 'files'))).toHaveLength(300);
  });

  test('keeps nothing where the disk is full', () => {
    const line = new CommandLine();
    mkdirSync(line.root);
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', line.root);
    try {
      const layer = tar({ name: 'big', data: Buffer.alloc(700_000, 'x') });
      // The archive itself fits; what is unpacked of it does not.
      const { status, stderr } = line.call(['load'], dockerArchive({ layers: [layer], architecture: machine }));
      expect(status).toBe(1);
      expect(stderr).toMatch(/^lamina: cannot load standard input: .*no space left on device.*\n$/);
      expect(readdirSync(join(line.root, 'layers'))).toEqual([]);
      expect(readdirSync(join(line.root, 'tmp'))).toEqual([]);
      line.output(['load'], dockerArchive({ layers: [BOTTOM], names: ['small'], architecture: machine }));
    } finally {
      run('umount', line.root);
    }
  });
});

const noNamespaces = firstMissing(isRoot(), hasUserNamespaces());

describe.skipIf(noNamespaces)(titled('lamina load with one id', noNamespaces), () => {
  test('keeps owners and devices aside, marks with what it may', () => {
    const line = new CommandLine('unshare', '--user', '--map-root-user', '--mount');
    const { status, stderr } = line.call(['load'], archive);
    expect(status).toBe(0);
    expect(stderr.split('\n').sort().slice(1)).toEqual([
      'lamina: device node cannot be made without root and is kept in an extended attribute: null',
      expect.stringMatching(/owner could not be set and is kept in user.containers.override_stat: .* and 1 more$/),
      expect.stringMatching(/owner could not be set, nor kept in an extended attribute: 7:7$/),
    ]);
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const [inspected] = JSON.parse(line.output(['image', 'inspect', 'debian:12'])) as { ChainIDs: string[] }[];
    const top = join(line.root, 'layers', (inspected?.ChainIDs[1] ?? '').slice('sha256:'.length));
    const found = snapshot(top, false);
    expect(found).toEqual([
      expect.stringContaining(` user.containers.override_stat=${hex('0:0:0755')}`),
      `d 40750 0:0 user.containers.override_stat=${hex('5:6:0750')} user.overlay.opaque=${hex('y')}`,
      `d/owned 104755 0:0 1 ${sha256(Buffer.from('y'))} user.containers.override_stat=${hex('1000:1001:4755')}`,
      'link 120777 0:0 -> d',
      `null 100600 0:0 0 ${sha256(Buffer.alloc(0))} user.containers.override_stat=${hex('0:0:0644:char-1-3')}`,
    ]);
  });
});

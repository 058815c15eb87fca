import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { type SaveFormat, saveImages } from '../../runner/image/save.ts';
import { type Store } from '../../runner/image/store.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, named, ociArchive, OciBlobs, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { load, loadFile, newStore, run, snapshot, temporary } from './ground.ts';
import { Podman } from './podman.ts';

const MACHINE = process.arch === 'x64' ? 'amd64' : process.arch;
const BOTTOM = tar({ name: 'd/', type: '5' }, { name: 'd/f', data: 'x'.repeat(5000) }, { name: 'gone', data: 'y' });
const TOP = tar({ name: '.wh.gone' }, { name: 'd/new', data: 'new' });
const LAYERS = [BOTTOM, TOP];
const DIFF_IDS = LAYERS.map((layer) => `sha256:${sha256(layer)}`);
const IMAGE = { layers: LAYERS, names: ['debian:12', 'ghcr.io/a/b:c'], architecture: MACHINE, config: { Cmd: ['sh'] } };
const DEBIAN = 'docker.io/library/debian:12';

async function save(
  store: Store,
  references: readonly string[],
  format: SaveFormat = 'docker-archive',
  uncompressed = false,
): Promise<string> {
  const output = join(temporary(), 'saved');
  await saveImages(store, references, { format, uncompressed, output });
  return output;
}

/** Files of an archive, in its order. */
function namesIn(path: string): string[] {
  return run('tar', '-tf', path).trim().split('\n');
}

/** One JSON file of an archive. */
function read(path: string, name: string): unknown {
  return JSON.parse(run('tar', '-xOf', path, name));
}

async function storeOf(...archives: readonly Buffer[]): Promise<Store> {
  const store = newStore();
  for (const archive of archives)
    await load(store, archive, { platform: { os: 'linux', architecture: MACHINE, variant: '' } });
  return store;
}

describe.skipIf(isRoot())(titled('saveImages as docker-archive', isRoot()), () => {
  test('writes the manifest first, and layers uncompressed under their diffIDs', async () => {
    const store = await storeOf(ociArchive({ ...IMAGE, names: ['debian:12'] }));
    const path = await save(store, ['debian:12']);
    const id = store.resolve('debian:12').id.slice('sha256:'.length);
    const layers = LAYERS.map((layer) => `${sha256(layer)}.tar`);
    expect(namesIn(path)).toEqual(['manifest.json', 'repositories', `${id}.json`, ...layers]);
    expect(read(path, 'manifest.json')).toEqual([{ Config: `${id}.json`, RepoTags: [DEBIAN], Layers: layers }]);
    expect(read(path, 'repositories')).toEqual({ 'docker.io/library/debian': { '12': sha256(TOP) } });
    const bottom = spawnSync('tar', ['-xOf', path, layers[0] ?? '']).stdout;
    expect(sha256(bottom)).toBe(sha256(BOTTOM));
  });

  test('has the names that were asked for, and none for an image that was asked for by its id', async () => {
    const store = await storeOf(dockerArchive(IMAGE));
    const { id } = store.resolve('debian:12');
    const tags = async (...references: string[]): Promise<unknown> =>
      (read(await save(store, references), 'manifest.json') as { RepoTags: unknown }[]).map(({ RepoTags }) => RepoTags);
    expect(await tags('debian:12')).toEqual([[DEBIAN]]);
    expect(await tags('ghcr.io/a/b:c', 'debian:12')).toEqual([['ghcr.io/a/b:c', DEBIAN]]);
    expect(await tags(id)).toEqual([null]);
    expect(await tags(id.slice(7, 20), 'debian:12')).toEqual([[DEBIAN]]);
  });

  test('holds layers that images share once, and is read by load', async () => {
    const other = { layers: [BOTTOM], names: ['one'], architecture: MACHINE };
    const store = await storeOf(dockerArchive(IMAGE, other));
    const path = await save(store, ['debian:12', 'one', 'ghcr.io/a/b:c']);
    expect(namesIn(path).filter((name) => name.endsWith('.tar'))).toHaveLength(2);
    const copy = newStore();
    await loadFile(copy, path);
    expect(copy.list().map(({ id, names }) => [id, [...names].sort()])).toEqual(
      store.list().map(({ id, names }) => [id, [...names].sort()]),
    );
  });

  test('is the same bytes each time, however the layers are packed', async () => {
    const store = await storeOf(dockerArchive(IMAGE));
    const packed = await storeOf(
      ociArchive({ ...IMAGE, names: ['debian:12'] }, (layer) => gzipSync(layer, { level: 1 })),
    );
    const first = readFileSync(await save(store, ['debian:12']));
    expect(sha256(readFileSync(await save(store, ['debian:12'])))).toBe(sha256(first));
    expect(sha256(readFileSync(await save(packed, ['debian:12'])))).toBe(sha256(first));
  });

  test('counts a layer whose size nobody kept', async () => {
    const store = await storeOf(ociArchive({ ...IMAGE, names: ['debian:12'] }));
    const before = readFileSync(await save(store, ['debian:12']));
    for (const name of readdirSync(join(store.root, 'layers')).filter((entry) => entry.endsWith('.json'))) {
      const path = join(store.root, 'layers', name);
      const { size, blob } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      writeFileSync(path, JSON.stringify({ size, blob }));
    }
    expect(sha256(readFileSync(await save(store, ['debian:12'])))).toBe(sha256(before));
  });
});

describe.skipIf(isRoot())(titled('saveImages as OCI', isRoot()), () => {
  async function makeStore(): Promise<{ store: Store; digest: string }> {
    const blobs = new OciBlobs();
    const manifest = blobs.addImage(IMAGE);
    return { store: await storeOf(blobs.archive([named(manifest, DEBIAN)])), digest: manifest.digest };
  }

  test('keeps every blob byte for byte', async () => {
    const { store, digest } = await makeStore();
    const path = await save(store, ['debian:12'], 'oci-archive');
    expect(read(path, 'index.json')).toMatchObject({
      manifests: [{ digest, annotations: { 'org.opencontainers.image.ref.name': DEBIAN } }],
    });
    for (const name of namesIn(path).filter((entry) => entry.startsWith('blobs/'))) {
      const saved = spawnSync('tar', ['-xOf', path, name]).stdout;
      expect(saved.equals(readFileSync(join(store.root, name)))).toBe(true);
    }
    const copy = newStore();
    await loadFile(copy, path);
    expect(copy.resolve('debian:12').manifests).toEqual([digest]);
  });

  test('as a directory has the same files', async () => {
    const { store } = await makeStore();
    const directory = await save(store, ['debian:12'], 'oci-dir');
    const files = namesIn(await save(store, ['debian:12'], 'oci-archive'));
    for (const name of files) expect(statSync(join(directory, name)).isFile()).toBe(true);
    expect(readFileSync(join(directory, 'index.json'), 'utf8')).toContain(DEBIAN);
    expect(statSync(directory).mode & 0o777).toBe(0o777 & ~Number.parseInt(run('sh', '-c', 'umask'), 8));
  });

  test('uncompressed has layers as plain tar archives, and a manifest that names them', async () => {
    const { store } = await makeStore();
    const path = await save(store, ['debian:12'], 'oci-archive', true);
    const { manifests } = read(path, 'index.json') as { manifests: { digest: string }[] };
    const manifest = read(path, `blobs/sha256/${manifests[0]?.digest.slice(7) ?? ''}`);
    const layers = LAYERS.map((layer) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: `sha256:${sha256(layer)}`,
      size: layer.length,
    }));
    expect(manifest).toMatchObject({ layers });
    const copy = newStore();
    await loadFile(copy, path);
    expect(copy.resolve('debian:12').id).toBe(store.resolve('debian:12').id);
  });
});

describe.skipIf(isRoot())(titled('saveImages to a path', isRoot()), () => {
  function damage(store: Store): void {
    const bottom = join(store.root, 'blobs/sha256', sha256(BOTTOM));
    const bytes = readFileSync(bottom);
    bytes.writeUInt8(bytes.readUInt8(3000) ^ 1, 3000);
    writeFileSync(bottom, bytes);
  }

  test.each(['docker-archive', 'oci-archive', 'oci-dir', 'docker-dir'] as const)(
    'leaves nothing of a %s whose layer turns out to be damaged, and what was there as it was',
    async (format) => {
      const store = await storeOf(dockerArchive(IMAGE));
      damage(store);
      const directory = temporary();
      const output = join(directory, 'saved');
      if (!format.endsWith('-dir')) writeFileSync(output, 'before');
      const before = readdirSync(directory);
      const saving = saveImages(store, ['debian:12'], { format, uncompressed: false, output });
      await expect(saving).rejects.toThrow(/layer sha256:[0-9a-f]+ of the store is damaged/);
      expect(readdirSync(directory)).toEqual(before);
      if (!format.endsWith('-dir')) expect(readFileSync(output, 'utf8')).toBe('before');
    },
  );

  test.each(['docker-archive', 'oci-archive'] as const)('says which layer of a %s is gone', async (format) => {
    const store = await storeOf(dockerArchive(IMAGE));
    rmSync(join(store.root, 'blobs/sha256', sha256(BOTTOM)));
    await expect(save(store, ['debian:12'], format)).rejects.toThrow(
      `layer sha256:${sha256(BOTTOM)} is not in the store; pull or load the image again`,
    );
  });

  test('replaces the file that a symlink leads to', async () => {
    const store = await storeOf(dockerArchive(IMAGE));
    const directory = temporary();
    writeFileSync(join(directory, 'real'), 'before');
    symlinkSync('real', join(directory, 'link'));
    const output = join(directory, 'link');
    await saveImages(store, ['debian:12'], { format: 'docker-archive', uncompressed: false, output });
    expect(readdirSync(directory).sort()).toEqual(['link', 'real']);
    expect(namesIn(join(directory, 'real'))).toContain('manifest.json');
  });

  test('refuses a directory that has something in it', async () => {
    const store = await storeOf(dockerArchive(IMAGE));
    const output = temporary();
    writeFileSync(join(output, 'precious'), '');
    const saving = saveImages(store, ['debian:12'], { format: 'oci-dir', uncompressed: false, output });
    await expect(saving).rejects.toThrow(/no empty directory/);
    expect(readdirSync(output)).toEqual(['precious']);
  });
});

describe.skipIf(isRoot())(titled('lamina save', isRoot()), () => {
  test('writes to standard output or a file, and says what cannot be', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive(IMAGE));
    const directory = temporary();
    const file = join(directory, 'saved.tar');
    expect(line.output(['save', '-q', '-o', file, 'debian:12', '-m'])).toBe('');
    expect(sha256(Buffer.from(line.output(['save', 'debian:12'])))).toBe(sha256(readFileSync(file)));
    for (const [args, message] of [
      [['save', 'nothing'], /cannot save nothing to standard output: image "nothing" is not in the store/],
      [['save', '--format', 'oci-dir', 'debian:12'], /oci-dir needs a directory to write: -o DIR/],
      [['save', '-o', directory, 'debian:12'], /it is a directory, where a file/],
      [['save', '-o', join(directory, 'none/f'), 'debian:12'], /no such file or directory/],
    ] as const) {
      const { status, stdout, stderr } = line.call(args);
      expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 1, stdout: '', lines: 2 });
      expect(stderr).toMatch(message);
    }
    expect(readdirSync(directory)).toEqual(['saved.tar']);
  });

  test('refuses a terminal', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive(IMAGE));
    const command = `LAMINA_ROOT=${line.root} ${[...line.command, 'save', 'debian:12'].join(' ')}`;
    const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stdout).toMatch(/cannot save to a terminal; give a file with -o FILE/);
  });

  test('ends quietly with a reader that has gone', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive({ ...IMAGE, layers: [tar({ name: 'big', data: Buffer.alloc(1 << 20) })] }));
    const command = `LAMINA_ROOT=${line.root} ${[...line.command, 'save', 'debian:12'].join(' ')} | head -c 100 | wc -c`;
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: '100', stderr: '' });
  });

  test('leaves nothing where the disk is full', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive({ ...IMAGE, layers: [tar({ name: 'big', data: Buffer.alloc(1 << 21) })] }));
    const small = temporary();
    run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', small);
    try {
      for (const format of ['docker-archive', 'oci-dir']) {
        const { status, stderr } = line.call(['save', '--format', format, '-o', join(small, 'out'), 'debian:12']);
        expect(status).toBe(1);
        expect(stderr).toMatch(/^lamina: cannot save debian:12 to \S+: .*no space left on device.*\n$/);
        expect(readdirSync(small)).toEqual([]);
      }
    } finally {
      run('umount', small);
    }
  });

  test('shows nothing half written, whenever it is killed', async () => {
    const line = new CommandLine();
    const layer = tar({ name: 'big', data: Buffer.alloc(1 << 26, 'lamina') });
    line.output(['load'], dockerArchive({ ...IMAGE, layers: [layer] }));
    const directory = temporary();
    const output = join(directory, 'saved.tar');
    for (let round = 0; round < 8; round++) {
      const child = line.start(['save', '-o', output, 'debian:12']);
      const ended = once(child, 'exit');
      const until = Date.now() + 40 * round;
      while (child.exitCode === null && Date.now() < until) await setImmediate();
      child.kill('SIGKILL');
      await ended;
      const left = readdirSync(directory);
      expect(left.filter((name) => name === 'saved.tar').length).toBe(left.length);
      if (left.length > 0) expect(namesIn(output)).toHaveLength(4);
    }
  });

  test('as a directory shows nothing half written when it is killed, and what that left goes with the next', async () => {
    const line = new CommandLine();
    const layer = tar({ name: 'big', data: Buffer.alloc(1 << 26, 'lamina') });
    line.output(['load'], dockerArchive({ ...IMAGE, layers: [layer] }));
    const directory = temporary();
    const args = (output: string): string[] => [
      'save',
      '--format',
      'oci-dir',
      '-o',
      join(directory, output),
      'debian:12',
    ];
    // Those with something in them: before that, one may not be marked yet.
    const holdsSomething = (name: string): boolean => {
      try {
        return readdirSync(join(directory, name)).length > 0;
      } catch {
        // It has got its name since.
        return false;
      }
    };
    const asides = (): string[] =>
      readdirSync(directory).filter((name) => name.startsWith('.lamina-') && holdsSomething(name));
    const until = async (isReached: () => boolean): Promise<void> => {
      while (!isReached()) await setImmediate();
    };
    // The signal may come when all is written: then another is killed.
    const killOne = async (): Promise<void> => {
      const killed = line.start(args('killed'));
      const ended = once(killed, 'exit');
      await until(() => asides().length > 0 || killed.exitCode !== null);
      killed.kill('SIGKILL');
      await ended;
      if (asides().length > 0) return;
      rmSync(join(directory, 'killed'), { recursive: true, force: true });
      await killOne();
    };
    await killOne();
    const left = asides();
    expect({ left: left.length, all: readdirSync(directory) }).toEqual({ left: 1, all: left });
    // One that is being written stays, also where it stands still.
    const stopped = line.start(args('stopped'));
    await until(() => asides().some((name) => !left.includes(name)));
    stopped.kill('SIGSTOP');
    const others = asides().filter((name) => !left.includes(name));
    // What has a name much like it is not touched either.
    mkdirSync(join(directory, '.lamina-notes/file'), { recursive: true });
    line.output(args('next'));
    expect(readdirSync(directory).sort()).toEqual([...others, '.lamina-notes', 'next'].sort());
    const finished = once(stopped, 'exit');
    stopped.kill('SIGCONT');
    expect((await finished)[0]).toBe(0);
    expect(readdirSync(directory).sort()).toEqual(['.lamina-notes', 'next', 'stopped']);
    expect(snapshot(join(directory, 'stopped'), false)).toEqual(snapshot(join(directory, 'next'), false));
    // A file that was killed just before it got its name has one that is not its own.
    writeFileSync(join(directory, `.lamina-${'0'.repeat(16)}`), 'left');
    line.output(['save', '-o', join(directory, 'file'), 'debian:12']);
    expect(readdirSync(directory).sort()).toEqual(['.lamina-notes', 'file', 'next', 'stopped']);
  });
});

const noPeers = firstMissing(isRoot(), has('skopeo'), has('umoci'), has('podman'));

describe.skipIf(noPeers)(titled('saveImages read by others', noPeers), () => {
  test('podman loads a docker-archive of several images, with all their names', async () => {
    const store = await storeOf(dockerArchive(IMAGE, { layers: [BOTTOM], names: ['one'], architecture: MACHINE }));
    const podman = new Podman();
    podman.call('load', '-i', await save(store, ['debian:12', 'ghcr.io/a/b:c', 'one']));
    const { id } = store.resolve('debian:12');
    expect(podman.images()).toEqual([
      `${DEBIAN} ${id}`,
      `docker.io/library/one:latest ${store.resolve('one').id}`,
      `ghcr.io/a/b:c ${id}`,
    ]);
  });

  test.each(['oci-archive', 'oci-dir', 'docker-dir'] as const)('podman loads a %s', async (format) => {
    const store = await storeOf(dockerArchive(IMAGE));
    const podman = new Podman();
    // podman makes a directory's path a name, which must be in lower case.
    podman.callIn(dirname(await save(store, ['debian:12'], format)), 'load', '-i', 'saved');
    expect(podman.call('images', '-q', '--no-trunc')).toBe(`${store.resolve('debian:12').id}\n`);
  });

  test('skopeo copies each format, and gets the same image', async () => {
    const store = await storeOf(ociArchive({ ...IMAGE, names: [DEBIAN] }));
    const { id } = store.resolve('debian:12');
    for (const [format, transport] of [
      ['docker-archive', 'docker-archive:'],
      ['oci-archive', 'oci-archive:'],
      ['oci-dir', 'oci:'],
      ['docker-dir', 'dir:'],
    ] as const) {
      for (const uncompressed of [false, true]) {
        const out = join(temporary(), 'out');
        const source = `${transport}${await save(store, ['debian:12'], format, uncompressed)}`;
        run('skopeo', 'copy', '--dest-decompress', source, `dir:${out}`);
        const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as {
          config: { digest: string };
          layers: { digest: string }[];
        };
        expect(manifest.layers.map(({ digest }) => digest)).toEqual(DIFF_IDS);
        expect(manifest.config.digest).toBe(id);
      }
    }
  });

  test('skopeo finds an image of several in an archive by its name', async () => {
    const store = await storeOf(dockerArchive(IMAGE, { layers: [BOTTOM], names: ['one'], architecture: MACHINE }));
    for (const format of ['docker-archive', 'oci-archive'] as const) {
      const path = await save(store, ['one', 'debian:12'], format);
      const shown = JSON.parse(run('skopeo', 'inspect', `${format}:${path}:${DEBIAN}`)) as { Layers: string[] };
      expect(shown.Layers).toHaveLength(2);
    }
  });

  test('umoci unpacks an oci-dir', async () => {
    const store = await storeOf(ociArchive({ ...IMAGE, names: [DEBIAN] }));
    const directory = await save(store, ['debian:12'], 'oci-dir');
    const bundle = join(temporary(), 'bundle');
    run('umoci', 'unpack', '--image', `${directory}:${DEBIAN}`, bundle);
    expect(readdirSync(join(bundle, 'rootfs')).sort()).toEqual(['d']);
    expect(readFileSync(join(bundle, 'rootfs/d/new'), 'utf8')).toBe('new');
  });
});

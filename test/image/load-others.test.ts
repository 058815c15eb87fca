import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { loadDirectory, type LoadedImage, type LoadOptions } from '../../runner/image/load.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, named, ociArchive, OciBlobs, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { load, loadFile, newStore, run, temporary } from './ground.ts';
import { Podman } from './podman.ts';

const MACHINE = process.arch === 'x64' ? 'amd64' : process.arch;
const PLATFORM = { os: 'linux', architecture: MACHINE, variant: '' };
const BOTTOM = tar({ name: 'd/', type: '5' }, { name: 'd/f', data: 'x'.repeat(200_000) }, { name: 'gone', data: 'y' });
const TOP = tar({ name: '.wh.gone' }, { name: 'd/new', data: 'new' });
const LAYERS = [BOTTOM, TOP];
const DIFF_IDS = LAYERS.map((layer) => `sha256:${sha256(layer)}`);
const IMAGE = { layers: LAYERS, names: ['debian:12'], architecture: MACHINE };

function loadFrom(store: Store, path: string, options: Partial<LoadOptions> = {}): Promise<LoadedImage[]> {
  return loadDirectory(store, path, {
    platform: PLATFORM,
    limits: DEFAULT_LIMITS,
    warnings: new Warnings(),
    ...options,
  });
}

/** An archive's files in a directory. */
function extracted(archive: Buffer): string {
  const directory = temporary();
  const path = join(temporary(), 'archive.tar');
  writeFileSync(path, archive);
  run('tar', '-xf', path, '-C', directory);
  return directory;
}

function shown(store: Store): unknown {
  return store.list().map(({ names, diffIds }) => ({ names: [...names].sort(), diffIds }));
}

describe.skipIf(isRoot())(titled('loadDirectory', isRoot()), () => {
  test('loads an OCI layout, and leaves it as it was', async () => {
    const directory = extracted(ociArchive({ ...IMAGE, names: ['docker.io/library/debian:12'] }));
    const files = (): string[] => readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
    const before = files();
    const store = newStore();
    await loadFrom(store, directory);
    expect(shown(store)).toEqual([{ names: ['docker.io/library/debian:12'], diffIds: DIFF_IDS }]);
    expect(files()).toEqual(before);
  });

  test('takes the image for the machine from an index of several platforms', async () => {
    const blobs = new OciBlobs();
    const manifests = ['s390x', MACHINE].map((architecture) => ({
      ...blobs.addImage({ layers: [tar({ name: architecture })], architecture }),
      platform: { os: 'linux', architecture },
    }));
    const directory = extracted(blobs.archive([named(blobs.addIndex(manifests), 'multi')]));
    const store = newStore();
    await loadFrom(store, directory);
    await loadFrom(store, directory, { platform: { ...PLATFORM, architecture: 's390x' }, name: 'docker.io/o/other:1' });
    expect(readdirSync(store.resolve('multi').layers[0] ?? '')).toEqual([MACHINE]);
    expect(readdirSync(store.resolve('o/other:1').layers[0] ?? '')).toEqual(['s390x']);
  });

  test('follows no link out of the directory, and opens no pipe', async () => {
    const outside = join(temporary(), 'index.json');
    for (const make of [
      (path: string): void => symlinkSync(outside, path),
      (path: string): void => symlinkSync('../../../../../../../../etc/passwd', path),
      (path: string): void => void run('mkfifo', path),
      (path: string): void => {
        mkdirSync(path);
      },
    ]) {
      const directory = extracted(ociArchive(IMAGE));
      writeFileSync(outside, readFileSync(join(directory, 'index.json')));
      run('rm', join(directory, 'index.json'));
      make(join(directory, 'index.json'));
      const store = newStore();
      await expect(loadFrom(store, directory)).rejects.toThrow(/cannot open "index.json"|is no regular file/);
      expect(store.list()).toEqual([]);
      expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
    }
  });

  test('says what is no image, what is missing, and what is damaged', async () => {
    await expect(loadFrom(newStore(), temporary())).rejects.toThrow(/is empty/);
    const other = temporary();
    writeFileSync(join(other, 'readme'), '');
    await expect(loadFrom(newStore(), other)).rejects.toThrow(/neither manifest.json nor oci-layout.*readme/);
    const layout = extracted(ociArchive(IMAGE, (layer) => layer));
    const layer = join(layout, 'blobs/sha256', sha256(TOP));
    writeFileSync(layer, readFileSync(layer).fill(1, 600, 601));
    await expect(loadFrom(newStore(), layout)).rejects.toThrow(/layer sha256:[0-9a-f]+ has another content/);
    run('rm', layer);
    await expect(loadFrom(newStore(), layout)).rejects.toThrow(/layer "blobs.*" is not in the directory/);
    const limits = { ...DEFAULT_LIMITS, archiveBytes: 100_000 };
    await expect(loadFrom(newStore(), layout, { limits })).rejects.toThrow(
      /directory's files is over the limit of 100000/,
    );
  });

  test('is what lamina load does with a directory', () => {
    const line = new CommandLine();
    expect(line.output(['load', '-i', extracted(ociArchive(IMAGE))])).toBe('Loaded image: debian:12\n');
  });
});

const noPeers = firstMissing(isRoot(), has('skopeo'), has('podman'));

describe.skipIf(noPeers)(titled('load of what others save', noPeers), () => {
  function podmanWith(...archives: readonly Buffer[]): Podman {
    const podman = new Podman();
    for (const archive of archives) {
      const path = join(temporary(), 'archive.tar');
      writeFileSync(path, archive);
      podman.call('load', '-i', path);
    }
    return podman;
  }

  // Names in full: podman gives those in short to localhost.
  const image = { ...IMAGE, names: ['docker.io/library/debian:12'] };
  const names = ['docker.io/library/one:1', 'docker.io/library/two:2'];
  const other = dockerArchive({ layers: [BOTTOM], names, architecture: MACHINE });

  test('podman save -m, plain and compressed', async () => {
    const podman = podmanWith(dockerArchive(image), other);
    const path = join(temporary(), 'saved.tar');
    podman.call('save', '-m', '-o', path, ...image.names, ...names);
    const expected = [
      { names: ['docker.io/library/debian:12'], diffIds: DIFF_IDS },
      { names, diffIds: DIFF_IDS.slice(0, 1) },
    ];
    const store = newStore();
    await loadFile(store, path);
    expect(shown(store)).toEqual(expected);
    const line = new CommandLine();
    expect(line.output(['load'], gzipSync(readFileSync(path)))).toMatch(/^(?:Loaded image: \S+\n){3}$/);
  });

  test.each(['oci-archive', 'oci-dir', 'docker-dir'])('podman save --format %s', async (format) => {
    const podman = podmanWith(dockerArchive(image));
    const path = join(temporary(), 'saved');
    podman.callIn(dirname(path), 'save', '--format', format, '-o', 'saved', 'debian:12');
    const store = newStore();
    if (format === 'oci-archive') await loadFile(store, path);
    else await loadFrom(store, path);
    expect(store.list().map(({ diffIds }) => diffIds)).toEqual([DIFF_IDS]);
  });

  test.each(['gzip', 'zstd', 'zstd:chunked'])('skopeo with layers in %s, as directory and archive', async (format) => {
    const source = join(temporary(), 'source.tar');
    writeFileSync(
      source,
      ociArchive(IMAGE, (layer) => layer),
    );
    const to = ['--dest-compress', '--dest-compress-format', format];
    const directory = join(temporary(), 'layout');
    run('skopeo', 'copy', ...to, `oci-archive:${source}`, `oci:${directory}:debian:12`);
    const archive = join(temporary(), 'archive.tar');
    run('skopeo', 'copy', ...to, `oci-archive:${source}`, `oci-archive:${archive}:debian:12`);
    if (format === 'zstd:chunked') expect(annotationsIn(directory)).toMatch(/zstd-chunked.manifest-position/);
    for (const store of [newStore(), newStore()]) {
      if (store.list().length === 0) await loadFrom(store, directory);
      await loadFile(store, archive);
      expect(shown(store)).toEqual([{ names: ['docker.io/library/debian:12'], diffIds: DIFF_IDS }]);
      expect(readFileSync(join(store.resolve('debian:12').layers[1] ?? '', 'd/f'))).toHaveLength(200_000);
    }
  });

  function annotationsIn(layout: string): string {
    const blobs = join(layout, 'blobs/sha256');
    return readdirSync(blobs)
      .map((name) => readFileSync(join(blobs, name), 'latin1'))
      .filter((text) => text.startsWith('{"schemaVersion"'))
      .join('');
  }
});

describe.skipIf(isRoot())(titled('load of gzip', isRoot()), () => {
  test('of several members, in layers and around the archive', async () => {
    const members = (bytes: Buffer): Buffer =>
      Buffer.concat([
        gzipSync(bytes.subarray(0, 700)),
        gzipSync(bytes.subarray(700, 700)),
        gzipSync(bytes.subarray(700)),
      ]);
    const store = newStore();
    await load(store, members(ociArchive(IMAGE, members)), { platform: PLATFORM });
    expect(store.resolve('debian:12').diffIds).toEqual(DIFF_IDS);
  });
});

const noPrograms = firstMissing(isRoot(), has('xz'), has('bzip2'));

describe.skipIf(noPrograms)(titled('load of xz and bzip2', noPrograms), () => {
  const packed = (program: string, bytes: Buffer, ...args: readonly string[]): Buffer =>
    spawnSync(program, ['-c', ...args], { input: bytes, maxBuffer: 2 ** 30 }).stdout;

  // Larger than a decoder's buffers, and not easily compressed.
  const noise = Buffer.alloc(900_000);
  for (let at = 0, state = 1; at < noise.length; at++) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    noise[at] = state >> 16;
  }
  const image = { ...IMAGE, layers: [...LAYERS, tar({ name: 'noise', data: noise })] };

  test.each(['xz', 'bzip2'])('of an archive packed with %s, one stream or several', async (program) => {
    const archive = dockerArchive(image);
    const half = 500_001;
    const streams = [packed(program, archive.subarray(0, half)), packed(program, archive.subarray(half))];
    for (const bytes of [packed(program, archive), packed(program, archive, '-1'), Buffer.concat(streams)]) {
      const store = newStore();
      await load(store, bytes, { platform: PLATFORM });
      expect(store.resolve('debian:12').diffIds).toHaveLength(3);
      expect(readFileSync(join(store.resolve('debian:12').layers[0] ?? '', 'noise')).equals(noise)).toBe(true);
    }
  });

  test.each(['xz', 'bzip2'])('refuses what %s packed and is cut or damaged, wherever', async (program) => {
    const whole = packed(program, dockerArchive(image));
    for (const cut of [20, 1000, Math.floor(whole.length / 2), whole.length - 3]) {
      await expect(load(newStore(), whole.subarray(0, cut))).rejects.toThrow(/truncated|damaged|is missing|neither/);
    }
    const damaged = Buffer.from(whole);
    damaged.fill(0x55, 2000, 2100);
    await expect(load(newStore(), damaged)).rejects.toThrow(/damaged/);
    await expect(load(newStore(), Buffer.concat([whole, Buffer.from('trailing')]))).rejects.toThrow(
      /damaged|ends early/,
    );
  });

  test('refuses xz that would take more memory than it may', async () => {
    const large = packed('xz', dockerArchive(image), '--lzma2=dict=1GiB');
    await expect(load(newStore(), large)).rejects.toThrow(/more than 128 MiB of memory/);
  });

  test('takes no archive for bzip2 whose first name begins with its letters', async () => {
    const store = newStore();
    const archive = dockerArchive({ ...IMAGE, layers: [tar({ name: 'BZh9', data: 'x' })] });
    await load(store, archive, { platform: PLATFORM });
    expect(readdirSync(store.resolve('debian:12').layers[0] ?? '')).toEqual(['BZh9']);
  });
});

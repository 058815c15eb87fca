import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Pack, pack as createPack } from 'tar-stream';
import { capture } from '../command.ts';
import { Content, Sequence } from './content.ts';

// An image that is the same each time, but for the shell and cp in its lowest layer, which are this machine's.

/** A blob below the image's directory, under its digest. */
export interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** An image in a directory, to be put into a registry. */
export interface Fixture {
  readonly directory: string;
  readonly manifest: Blob;
  /** The configuration and the layers. */
  readonly blobs: readonly Blob[];
  /** Bytes of all layers, uncompressed. */
  readonly archiveBytes: number;
  readonly files: number;
}

export interface FixtureSize {
  readonly bytes: number;
  readonly layers: number;
}

/** What containers copy, to have something to commit: the files of one layer. */
export const COMMITTED = { from: '/data/1', to: '/changed' } as const;

const PROGRAMS = ['/bin/sh', '/bin/cp'] as const;
const DIRECTORY_FILES = 64;
/** Of the bytes, in percent; the rest are programs. Debian's and Node's images have files of some 20 KiB on average. */
const TEXTS = 35;
const MTIME = new Date(1_600_000_000_000);
const TYPE = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

interface Layer extends Blob {
  readonly diffId: string;
  readonly archiveBytes: number;
  readonly files: number;
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

function entry(archive: Pack, name: string, content: Buffer, mode = 0o644): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry({ name, mode, mtime: MTIME, size: content.length }, content, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** What a shell and cp need to run, at the places where they look for it. */
async function addPrograms(archive: Pack): Promise<void> {
  const text = await capture(['ldd', ...PROGRAMS]);
  const libraries = [...text.matchAll(/\/\S+(?= \(0x)/g)].map(([library]) => library);
  for (const path of new Set([...PROGRAMS, ...libraries])) {
    await entry(archive, path.slice(1), await readFile(path), 0o755);
  }
}

async function fill(archive: Pack, at: number, bytes: number, content: Content): Promise<number> {
  if (at === 0) await addPrograms(archive);
  let files = 0;
  const add = async (name: string, most: number, next: () => Buffer): Promise<void> => {
    for (let left = most; left > 0; files++) {
      const piece = next().subarray(0, left);
      await entry(archive, `data/${at}/${name}${Math.floor(files / DIRECTORY_FILES)}/file-${files}`, piece);
      left -= piece.length;
    }
  };
  await add('texts-', Math.floor((bytes * TEXTS) / 100), () => content.text());
  await add('programs-', bytes - Math.floor((bytes * TEXTS) / 100), () => content.program());
  archive.finalize();
  return files;
}

async function makeLayer(directory: string, at: number, bytes: number): Promise<Layer> {
  const archive = createPack();
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  let [archiveBytes, size] = [0, 0];
  const filling = fill(archive, at, bytes, new Content(new Sequence(at)));
  async function* counted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      plain.update(chunk);
      archiveBytes += chunk.length;
      yield chunk;
    }
  }
  async function* hashed(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      packed.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  const part = join(directory, `layer-${at}`);
  const gzip: Transform = createGzip({ chunkSize: 1 << 18 });
  await pipeline(archive as unknown as AsyncIterable<Buffer>, counted, gzip, hashed, createWriteStream(part));
  const digest = `sha256:${packed.digest('hex')}`;
  await rename(part, join(directory, digest));
  const diffId = `sha256:${plain.digest('hex')}`;
  return { mediaType: TYPE.layer, digest, size, diffId, archiveBytes, files: await filling };
}

async function writeDocument(directory: string, mediaType: string, content: object): Promise<Blob> {
  const bytes = Buffer.from(JSON.stringify(content));
  const digest = sha256(bytes);
  await writeFile(join(directory, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

const describe = ({ mediaType, digest, size }: Blob): Blob => ({ mediaType, digest, size });

async function makeFixture(directory: string, { bytes, layers: count }: FixtureSize): Promise<Fixture> {
  await mkdir(directory, { recursive: true });
  const layers: Layer[] = [];
  for (let at = 0; at < count; at++) layers.push(await makeLayer(directory, at, Math.floor(bytes / count)));
  const config = await writeDocument(directory, TYPE.config, {
    architecture: arch() === 'x64' ? 'amd64' : arch(),
    os: 'linux',
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const document = { schemaVersion: 2, mediaType: TYPE.manifest, config, layers: layers.map(describe) };
  const manifest = await writeDocument(directory, TYPE.manifest, document);
  const sum = (of: (layer: Layer) => number): number => layers.reduce((total, layer) => total + of(layer), 0);
  const blobs = [config, ...layers.map(describe)];
  const [archiveBytes, files] = [sum((layer) => layer.archiveBytes), sum((layer) => layer.files)];
  return { directory, manifest, blobs, archiveBytes, files };
}

/**
 * Makes the image below `directory`, or takes the one of that size that is there already: compressing it takes longer than
 * all that is measured.
 */
export async function openFixture(directory: string, size: FixtureSize): Promise<Fixture> {
  const path = join(directory, `${size.bytes}-${size.layers}`);
  const list = join(path, 'fixture.json');
  const isThere = await stat(list).then(
    () => true,
    () => false,
  );
  if (isThere) return JSON.parse(await readFile(list, 'utf8')) as Fixture;
  const fixture = await makeFixture(path, size);
  await writeFile(`${list}.part`, JSON.stringify(fixture));
  await rename(`${list}.part`, list);
  return fixture;
}

import { gzipSync } from 'node:zlib';
import { createHash } from 'node:crypto';

/** An entry of a tar archive, made byte by byte: hostile archives are none that a library would write. */
export interface ArchiveEntry {
  /** One character a byte, as all names here. */
  readonly name: string;
  /** The type flag: `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` directory, `6` fifo. */
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly linkname?: string;
  readonly data?: string | Buffer;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a PAX header before it; values one character a byte. */
  readonly pax?: Readonly<Record<string, string>>;
  /** Last changes to the header, before its checksum is made. */
  readonly spoil?: (header: Buffer) => void;
}

const BLOCK = 512;

function octal(value: number, width: number): string {
  return value.toString(8).padStart(width - 1, '0') + '\0';
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

function sum(header: Buffer): void {
  header.fill(' ', 148, 156);
  const total = header.reduce((all, byte) => all + byte, 0);
  header.write(`${total.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

function header(entry: ArchiveEntry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(entry.name.slice(0, 100), 0, 'latin1');
  block.write(octal(entry.mode ?? (entry.type === '5' ? 0o755 : 0o644), 8), 100);
  block.write(octal(entry.uid ?? 0, 8), 108);
  block.write(octal(entry.gid ?? 0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(entry.mtime ?? 1_000_000_000, 12), 136);
  block.write(entry.type ?? '0', 156, 'latin1');
  block.write((entry.linkname ?? '').slice(0, 100), 157, 'latin1');
  block.write('ustar\0' + '00', 257, 'latin1');
  block.write(octal(entry.major ?? 0, 8), 329);
  block.write(octal(entry.minor ?? 0, 8), 337);
  entry.spoil?.(block);
  sum(block);
  return block;
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

/** An entry that carries others' names or records: PAX headers and GNU long names. */
export function attached(type: string, body: string): Buffer {
  const data = Buffer.from(body, 'latin1');
  return Buffer.concat([header({ name: 'attached', type }, data.length), padded(data)]);
}

export function entryBytes(entry: ArchiveEntry): Buffer {
  const data = typeof entry.data === 'string' ? Buffer.from(entry.data, 'latin1') : (entry.data ?? Buffer.alloc(0));
  const pax = { ...entry.pax };
  if (entry.name.length > 100) pax['path'] ??= entry.name;
  if ((entry.linkname?.length ?? 0) > 100) pax['linkpath'] ??= entry.linkname ?? '';
  const records = Object.entries(pax).map(([key, value]) => record(key, value));
  const before = records.length === 0 ? [] : [attached('x', records.join(''))];
  return Buffer.concat([...before, header(entry, data.length), padded(data)]);
}

export const END = Buffer.alloc(2 * BLOCK);

/** A whole archive; buffers go in as they are. */
export function tar(...entries: readonly (ArchiveEntry | Buffer)[]): Buffer {
  return Buffer.concat([...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : entryBytes(entry))), END]);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What the archives below are made of. */
export interface ImageMaking {
  readonly layers: readonly Buffer[];
  readonly names?: readonly string[];
  readonly architecture?: string;
  readonly config?: object;
  /** Stands in the configuration instead of the layers' real diffIDs. */
  readonly diffIds?: readonly string[];
  readonly history?: readonly object[];
}

function configOf({ layers, architecture = 'amd64', config = {}, diffIds, history }: ImageMaking): Buffer {
  const digests = diffIds ?? layers.map((layer) => `sha256:${sha256(layer)}`);
  return Buffer.from(
    JSON.stringify({ architecture, os: 'linux', config, rootfs: { type: 'layers', diff_ids: digests }, history }),
  );
}

/** As `docker save` writes it: the manifest last. */
export function dockerArchive(...images: readonly ImageMaking[]): Buffer {
  const entries: ArchiveEntry[] = [];
  const manifest = images.map((image) => {
    const config = configOf(image);
    entries.push({ name: `${sha256(config)}.json`, data: config });
    const layers = image.layers.map((layer) => `${sha256(layer)}/layer.tar`);
    image.layers.forEach((layer, at) => entries.push({ name: layers[at] ?? '', data: layer }));
    return { Config: `${sha256(config)}.json`, RepoTags: image.names ?? null, Layers: layers };
  });
  return tar(...entries, { name: 'manifest.json', data: JSON.stringify(manifest) });
}

type Compress = (layer: Buffer) => Buffer;

/** The blobs of an OCI layout, and descriptors for them. */
export class OciBlobs {
  readonly entries: ArchiveEntry[] = [];

  add(mediaType: string, bytes: Buffer): { mediaType: string; digest: string; size: number } {
    this.entries.push({ name: `blobs/sha256/${sha256(bytes)}`, data: bytes });
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  }

  addImage(image: ImageMaking, compress: Compress = (layer) => gzipSync(layer)): ReturnType<OciBlobs['add']> {
    const config = this.add('application/vnd.oci.image.config.v1+json', configOf(image));
    const layers = image.layers.map((layer) =>
      this.add('application/vnd.oci.image.layer.v1.tar+gzip', compress(layer)),
    );
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    return this.add(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })));
  }

  addIndex(manifests: readonly object[]): ReturnType<OciBlobs['add']> {
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    return this.add(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })));
  }

  archive(manifests: readonly object[]): Buffer {
    return tar(
      { name: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' },
      { name: 'index.json', data: JSON.stringify({ schemaVersion: 2, manifests }) },
      ...this.entries,
    );
  }
}

export function named(descriptor: object, name: string): object {
  return { ...descriptor, annotations: { 'org.opencontainers.image.ref.name': name } };
}

/** An OCI archive of one image. */
export function ociArchive(image: ImageMaking, compress?: Compress): Buffer {
  const blobs = new OciBlobs();
  const manifest = blobs.addImage(image, compress);
  const [name] = image.names ?? [];
  return blobs.archive([name === undefined ? manifest : named(manifest, name)]);
}

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Pack, pack } from 'tar-stream';
import { hostPlatform } from '../image/platform.ts';
import { type HostProgram, findPrograms } from './programs.ts';

/** Name under which the embedded default image is loaded. */
export const DEMO_IMAGE = 'lamina/demo';

/** An entry of a layer's archive. */
type Entry =
  | { readonly type: 'directory'; readonly name: string; readonly mode?: number }
  | { readonly type: 'file'; readonly name: string; readonly content: Buffer | string; readonly mode?: number }
  | { readonly type: 'link' | 'symlink'; readonly name: string; readonly target: string };

/** A layer of an image to be built. */
export interface Layer {
  /** What the layer is for, in a few words. */
  readonly title: string;
  readonly entries: readonly Entry[];
}

/** An image to be built. */
export interface ImageRecipe {
  readonly name: string;
  /** The bottom one first. */
  readonly layers: readonly Layer[];
  /** The `config` object of the OCI image configuration. */
  readonly config: Readonly<Record<string, unknown>>;
}

// One time for all that is made here: the same programs give the same image, whenever it is built.
const BUILT = new Date('2026-01-01T00:00:00Z');

/**
 * The embedded default image, made of this machine's own shell and coreutils, so that nothing is fetched: four layers,
 * with a file that a later layer changes, a whiteout and an opaque directory.
 */
export async function demoRecipe(): Promise<ImageRecipe> {
  return {
    name: DEMO_IMAGE,
    layers: [await programLayer(), filesLayer(), whiteoutLayer(), opaqueLayer()],
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'], WorkingDir: '/srv', Labels: { origin: "this machine's programs" } },
  };
}

/** The shell, coreutils, and the libraries that they load. */
export async function programLayer(): Promise<Layer> {
  const { programs, libraries } = await findPrograms();
  const directories = ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'srv', 'sys', 'tmp', 'var', 'var/tmp'];
  return {
    title: 'the shell, coreutils and their libraries',
    entries: [
      ...directories.map((name) => ({ type: 'directory', name, mode: name.endsWith('tmp') ? 0o1777 : 0o755 }) as const),
      ...programEntries(programs),
      ...libraries.map(
        (path) => ({ type: 'file', name: path.slice(1), content: readFileSync(path), mode: 0o755 }) as const,
      ),
      { type: 'file', name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/srv:/bin/sh\n' },
      { type: 'file', name: 'etc/group', content: 'root:x:0:\nguest:x:1000:\nstaff:x:50:guest\n' },
    ],
  };
}

// Where one binary serves several names (busybox, some coreutils), they are hard links here as they are there.
function programEntries(programs: readonly HostProgram[]): Entry[] {
  const first = new Map<string, string>();
  return programs.map(({ name, path }) => {
    const known = first.get(path);
    if (known !== undefined) return { type: 'link', name: `bin/${name}`, target: `bin/${known}` };
    first.set(path, name);
    return { type: 'file', name: `bin/${name}`, content: readFileSync(path), mode: 0o755 };
  });
}

function filesLayer(): Layer {
  return {
    title: 'files to work on',
    entries: [
      { type: 'directory', name: 'srv/cache' },
      { type: 'file', name: 'srv/cache/stale-1', content: 'from layer 2\n' },
      { type: 'file', name: 'srv/cache/stale-2', content: 'from layer 2\n' },
      { type: 'file', name: 'srv/greeting', content: 'hello from layer 2\n' },
      { type: 'file', name: 'srv/obsolete', content: 'a later layer deletes this\n' },
      { type: 'file', name: 'srv/poem', content: 'layers upon layers\n' },
    ],
  };
}

function whiteoutLayer(): Layer {
  return {
    title: 'a change and a deletion',
    entries: [
      { type: 'file', name: 'srv/greeting', content: 'hello from layer 3, which hides that of layer 2\n' },
      { type: 'file', name: 'srv/.wh.obsolete', content: '' },
    ],
  };
}

function opaqueLayer(): Layer {
  return {
    title: 'a directory made anew',
    entries: [
      { type: 'directory', name: 'srv/cache' },
      { type: 'file', name: 'srv/cache/.wh..wh..opq', content: '' },
      { type: 'file', name: 'srv/cache/fresh', content: 'from layer 4\n' },
    ],
  };
}

/** The image as an archive that `docker save` would have written. */
export async function buildArchive({ name, layers, config }: ImageRecipe): Promise<Buffer> {
  const archives = await Promise.all(layers.map(({ entries }) => archive(entries)));
  const platform = hostPlatform();
  const document = JSON.stringify({
    architecture: platform.architecture,
    os: platform.os,
    created: BUILT.toISOString(),
    config,
    rootfs: { type: 'layers', diff_ids: archives.map((bytes) => `sha256:${sha256(bytes)}`) },
    history: layers.map(({ title }) => ({ created: BUILT.toISOString(), created_by: title })),
  });
  const files = archives.map((bytes, index) => ({ name: `layer-${index + 1}.tar`, content: bytes }));
  const configName = `${sha256(document)}.json`;
  const manifest = [{ Config: configName, RepoTags: [`${name}:latest`], Layers: files.map((file) => file.name) }];
  return archive([
    ...files.map((file) => ({ type: 'file', ...file }) as const),
    { type: 'file', name: configName, content: document },
    { type: 'file', name: 'manifest.json', content: JSON.stringify(manifest) },
  ]);
}

function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex');
}

async function archive(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const entry of entries) addEntry(tar, entry);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function addEntry(tar: Pack, entry: Entry): void {
  const common = { name: entry.name, mtime: BUILT, uid: 0, gid: 0 };
  if (entry.type === 'file') tar.entry({ ...common, mode: entry.mode ?? 0o644 }, entry.content);
  else if (entry.type === 'directory') tar.entry({ ...common, type: 'directory', mode: entry.mode ?? 0o755 });
  else tar.entry({ ...common, type: entry.type, linkname: entry.target, mode: 0o777 });
}

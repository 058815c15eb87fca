import { lstat, mkdir, readdir, realpath, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { capture, type CommandOptions, run } from './command.ts';

// A tree split into layers: files are dealt out, and their directories are in every layer that has one of their files.

/** How many layers an image has. */
export const IMAGE_LAYERS = 5;

// What is taken of the machine itself: about 100 MB, small files first of all, as in any image.
const PARTS = [
  { path: 'usr/bin', bytes: 40e6 },
  { path: 'usr/share/doc', bytes: 20e6 },
  { path: 'usr/share', bytes: 40e6 },
] as const;
const LARGEST = 2e6;
const FILES = 15_000;

/** Every directory above a path, the topmost first. */
export function ancestors(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

/** Deals paths out to `count` layers, each with the directories that its paths need. */
export function deal(paths: readonly string[], count: number): string[][] {
  const layers = Array.from({ length: count }, () => new Set<string>());
  paths.forEach((path, index) => {
    const layer = layers[index % count];
    for (const directory of ancestors(path)) layer?.add(directory);
    layer?.add(path);
  });
  return layers.map((layer) => [...layer]);
}

/** Takes listed files, `SIZE PATH` each, until `bytes` are reached or `files` taken. */
export function bounded(listing: readonly string[], bytes: number, files: number): string[] {
  const taken: string[] = [];
  let sum = 0;
  for (const line of listing) {
    const size = Number(line.slice(0, line.indexOf(' ')));
    if (size > LARGEST || sum + size > bytes) continue;
    if (taken.length === files) break;
    sum += size;
    taken.push(line.slice(line.indexOf(' ') + 1));
  }
  return taken;
}

function split(text: string): string[] {
  return text.split('\0').filter((part) => part !== '');
}

/** Copies the paths, relative to `root`, into a new directory. */
async function copyPaths(
  root: string,
  paths: readonly string[],
  target: string,
  options: CommandOptions,
): Promise<void> {
  await mkdir(target, { recursive: true });
  const list = `${target}.list`;
  await writeFile(list, Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1'));
  // A user namespace has few of the machine's owners.
  const owner = root === '/' ? '--no-same-owner' : '--same-owner';
  const pack = 'tar -C "$0" --no-recursion --null --verbatim-files-from -T "$1" -cf - | tar -C "$2" "$3" -xpf -';
  await run(['sh', '-c', `${pack} && rm "$1"`, root, list, target, owner], options);
}

async function copyLayers(
  root: string,
  paths: readonly string[],
  target: string,
  count: number,
  options: CommandOptions,
): Promise<string[]> {
  const layers = deal(paths, count).map((list, index) => ({ list, path: join(target, String(index)) }));
  for (const { list, path } of layers) await copyPaths(root, list, path, options);
  return layers.map(({ path }) => path);
}

/** Splits the tree at `root`, whole, into layers below `target`. Returns them, the topmost first. */
export async function splitRoot(
  root: string,
  target: string,
  count = IMAGE_LAYERS,
  options: CommandOptions = {},
): Promise<string[]> {
  const paths = split(await capture(['find', root, '-xdev', '-mindepth', '1', '-printf', '%P\\0'], options));
  if (paths.length === 0)
    throw new Error(`${root} is empty: --root takes a root filesystem, such as debootstrap makes`);
  return copyLayers(root, paths, target, count, options);
}

/** What the paths lead to, symlinks and all, relative to `/`. */
async function withTargets(paths: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const path of paths) {
    found.add(join(await realpath(dirname(path)), path.slice(path.lastIndexOf('/') + 1)));
    found.add(await realpath(path));
  }
  return [...found].map((path) => path.slice(1));
}

/** What a chroot needs to start the programs: themselves, their libraries, and the symlinks that lead there. */
async function startable(programs: readonly string[]): Promise<string[]> {
  const text = await capture(['ldd', ...programs]);
  const libraries = [...text.matchAll(/\/\S+(?= \(0x)/g)].map(([library]) => library);
  const top = ['bin', 'lib', 'lib64'];
  const links = await Promise.all(
    top.map(async (name) => (await lstat(`/${name}`).catch(() => undefined))?.isSymbolicLink()),
  );
  return [...top.filter((_, index) => links[index] === true), ...(await withTargets([...programs, ...libraries]))];
}

// What an ordinary user may not read cannot be copied.
const READABLE = ['!', '-readable', '-prune', '-o'] as const;

async function listing(path: string): Promise<string[]> {
  const found = ['find', `/${path}`, '-xdev', ...READABLE, '!', '-type', 'd', '-printf', `%s ${path}/%P\\0`] as const;
  return split(await capture(found)).sort((left, right) =>
    left.slice(left.indexOf(' ')) < right.slice(right.indexOf(' ')) ? -1 : 1,
  );
}

/** Makes layers below `target` of this machine's own programs, libraries and documents. The topmost first. */
export async function machineLayers(
  target: string,
  count = IMAGE_LAYERS,
  options: CommandOptions = {},
): Promise<string[]> {
  const paths = new Set(await startable(['/usr/bin/sh', '/usr/bin/true']));
  for (const part of PARTS) {
    const all = (await listing(part.path)).filter((line) => !paths.has(line.slice(line.indexOf(' ') + 1)));
    for (const path of bounded(all, part.bytes, FILES / PARTS.length)) paths.add(path);
  }
  return copyLayers('/', [...paths], target, count, options);
}

/** The subdirectories of `directory`, each a layer; by their names, the last is the topmost. */
export async function givenLayers(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  if (names.length === 0) throw new Error(`${directory} has no subdirectories: --layers takes a directory of layers`);
  const layers = names
    .sort()
    .reverse()
    .map((name) => join(directory, name));
  const awkward = layers.find((layer) => /[,:\\]/.test(layer));
  if (awkward !== undefined) throw new Error(`${awkward}: a layer's path must not hold a comma, colon or backslash`);
  return layers;
}

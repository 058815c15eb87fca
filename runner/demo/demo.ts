import { writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { toBytes, toText } from '../../fs/sys/bytes.ts';
import { ContainerStore } from '../container/container-store.ts';
import { type Container } from '../container/container.ts';
import { diffContainer } from '../container/diff.ts';
import { removeContainer } from '../container/remove.ts';
import { plainContainer } from '../container/options/container-options.ts';
import { run } from '../container/run.ts';
import { isRootless } from '../container/userns.ts';
import { hexOf } from '../image/digest.ts';
import { type Image } from '../image/image.ts';
import { DEFAULT_LIMITS } from '../image/limits.ts';
import { loadArchive } from '../image/load.ts';
import { hostPlatform } from '../image/platform.ts';
import { type Store, openStore } from '../image/store.ts';
import { Warnings } from '../image/warnings.ts';
import { DEMO_IMAGE, buildArchive, demoRecipe } from './image.ts';
import { describeRawTree } from './raw-tree.ts';

// The container writes to the same standard output: no stream of Node's may hold back what comes before.
function say(line = ''): void {
  writeSync(1, `${line}\n`);
}

// Each command is shown before it runs. What they do: read, write, delete, rename, and what the union makes of it.
const STEPS: readonly (readonly [comment: string, command: string])[] = [
  ['who and where: root of its own namespaces, process 1', 'id -u; echo "pid $$ on $(uname -n)"; pwd'],
  [
    'read: layer 3 hides the greeting of layer 2; "obsolete" is whited out; only layer 4 is left of cache',
    'cat greeting; ls . cache',
  ],
  ['write: the file is copied up on its first change', 'echo "a line from the container" >> poem; cat poem'],
  ['delete: the layer keeps its file, the upper gets a whiteout', 'rm greeting; ls'],
  ['rename: the old name is whited out, the new one is a file of the upper', 'mv poem verses; ls'],
  [
    'replace a directory: it is opaque, and hides what lies below',
    'rm -r cache; mkdir cache; echo new > cache/new; ls cache',
  ],
];

function script(): string {
  const quote = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const steps = STEPS.map(
    ([comment, command]) => `echo; echo ${quote(`  # ${comment}`)}; echo ${quote(`  $ ${command}`)}; ${command}`,
  );
  return ['set -e', ...steps].join('\n');
}

/** Builds the embedded image, runs a container in it and shows what came of it; answers an exit code. */
export async function runDemo(): Promise<number> {
  const store = openStore();
  say(
    `lamina demo, ${isRootless() ? 'without root, in a user namespace' : 'as root'}; everything is kept in ${store.root}`,
  );
  const image = await buildImage(store);
  const name = `demo-${process.pid}`;
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  try {
    const exitCode = await runSteps(image, name);
    const container = find(containers, name);
    if (exitCode !== 0 || container === undefined) return exitCode || 1;
    showChanges(container);
  } finally {
    const container = find(containers, name);
    if (container !== undefined) await removeContainer(containers, container, true);
  }
  showNext();
  return 0;
}

function find(containers: ContainerStore, name: string): Container | undefined {
  return containers.list().find(({ config }) => config.name === name);
}

async function buildImage(store: Store): Promise<Image> {
  const recipe = await demoRecipe();
  const archive = await buildArchive(recipe);
  const warnings = new Warnings();
  const options = { platform: hostPlatform(), limits: DEFAULT_LIMITS, warnings };
  await loadArchive(store, Readable.from([archive]), options);
  for (const line of warnings.lines()) say(`lamina: ${line}`);
  const image = store.resolve(DEMO_IMAGE);
  say();
  say(`1. Image ${DEMO_IMAGE}: ${image.layers.length} layers of this machine's own files, the top one first`);
  image.layers.forEach((layer, index) => {
    const at = image.layers.length - 1 - index;
    const { title } = recipe.layers[at] ?? { title: '' };
    say(`   layer ${at + 1}  ${shortDigest(image, at)}  ${title}: ${describeRawTree(layer, 6).join(', ')}`);
  });
  return image;
}

function shortDigest(image: Image, at: number): string {
  const diffId = image.diffIds[at];
  return diffId === undefined ? '' : hexOf(diffId).slice(0, 12);
}

async function runSteps(image: Image, name: string): Promise<number> {
  say();
  say(`2. lamina run --name ${name} ${DEMO_IMAGE} sh -c ...`);
  const container = plainContainer(['/bin/sh', '-c', script()]);
  const exitCode = await run(
    { image: image.id, name, container },
    {
      streams: { stdin: false, stdout: true, stderr: true },
      forwardsSignals: true,
      created: () => undefined,
      report: (message) => say(`lamina: ${message}`),
    },
  );
  say();
  say(`   the container ended with exit code ${exitCode}`);
  return exitCode;
}

function showChanges(container: Container): void {
  const upper = toBytes(container.upper);
  say();
  say(`3. lamina diff ${container.config.name}: what it added (A), changed (C) and deleted (D)`);
  for (const { kind, path } of diffContainer(container)) say(`   ${kind} ${toText(path)}`);
  say();
  say("4. The same on disk, in the upper layer; the image's own layers are as they were");
  for (const line of describeRawTree(upper, Infinity)) say(`   ${line}`);
}

function showNext(): void {
  say();
  const program = process.argv[1] ?? 'lamina';
  say(
    `Next: node ${program} run --rm ${DEMO_IMAGE} ls -l /   (and: images, load, run, ps, diff, rm; --help tells more)`,
  );
}

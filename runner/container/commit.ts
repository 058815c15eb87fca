import { toBytes } from '../../fs/sys/bytes.ts';
import { type Packing } from '../image/compress.ts';
import { chainIdsOf, type Digest } from '../image/digest.ts';
import { changeConfig } from '../image/config-change.ts';
import { growImage, type Growth, type ManifestFormat } from '../image/grown-image.ts';
import { tryPlaceLayerIndex } from '../image/index-layer.ts';
import { type Image } from '../image/image.ts';
import { ingest } from '../image/ingest.ts';
import { type JsonObject } from '../image/json.ts';
import { type CapturedLayer, captureLayer } from '../image/layer-capture.ts';
import { DEFAULT_LIMITS } from '../image/limits.ts';
import { type Scratch } from '../image/scratch.ts';
import { type Store } from '../image/store.ts';
import { type Warnings } from '../image/warnings.ts';
import { type Container, liveStatus } from './container.ts';
import { isOfDirectories } from './directories.ts';
import { readGroups } from './cgroup/cgroup.ts';
import { FrozenGroup, isPaused } from './cgroup/pausing.ts';
import { flushMappedFiles, Pause } from './pause.ts';
import { packUpper } from './upper-layer.ts';

export interface CommitOptions {
  /** A full name for the image; it has none without. */
  readonly name: string | undefined;
  readonly author: string;
  readonly message: string;
  /** Instructions of a Dockerfile. */
  readonly changes: readonly string[];
  /** The container stands still while its files are read. */
  readonly pause: boolean;
  readonly format: ManifestFormat;
  readonly packing: Packing | undefined;
  /** Seconds since 1970: the image's time, and the latest that a file of its new layer has. */
  readonly epoch: number | undefined;
  readonly warnings: Warnings;
}

/**
 * Makes an image of a container: the layers of its image, shared, and one of what it changed. The image is there whole, its
 * new layer unpacked, or it is not there.
 *
 * @returns the image's id.
 */
export async function commitContainer(store: Store, container: Container, options: CommitOptions): Promise<Digest> {
  if (isOfDirectories(container)) {
    throw new Error(
      `container ${container.config.name} is made of directories, and of no image whose layers could be kept: "lamina export" and "lamina import" make an image of it`,
    );
  }
  // What the container holds must stay until the new image holds it, too.
  const content = store.lockContent();
  const scratch = store.scratch();
  let isWhole = false;
  try {
    const parent = store.resolve(container.config.imageId);
    const growth = growthOf(container, parent, options);
    // Before anything is read: a mistake in a change is told at once.
    changeConfig(growth.config, options.changes);
    const layer = await readChanges(store, container, parent, options, scratch);
    const [id] = await enter(store, scratch, parent, layer, growth, options);
    if (id === undefined) throw new Error('no image came of it');
    isWhole = true;
    return id;
  } finally {
    content.release();
    scratch.remove();
    // A layer that came before what failed is whole, but nobody's.
    if (!isWhole) store.collect();
  }
}

function growthOf(container: Container, parent: Image, options: CommitOptions): Growth {
  const { name, author, message: comment, changes, format, packing, epoch } = options;
  const created = (epoch === undefined ? new Date() : new Date(epoch * 1000)).toISOString();
  return {
    names: name === undefined ? [] : [name],
    title: name ?? `of container ${container.config.name}`,
    config: configOf(container),
    ...{ format, packing, created, author, comment, changes },
    createdBy: createdBy(container, parent),
  };
}

/** As docker and podman have it, the image starts what the container has started. */
function configOf({ config: { process } }: Container): JsonObject {
  if (process === undefined) return {};
  const { entrypoint, cmd, env, workingDir, user } = process;
  const list = (items: readonly string[]): readonly string[] | null => (items.length === 0 ? null : items);
  const text = (value: string): string | null => (value === '' ? null : value);
  return {
    Env: list(env),
    Entrypoint: list(entrypoint),
    Cmd: list(cmd),
    WorkingDir: text(workingDir),
    User: text(user),
  };
}

/** docker writes the container's arguments, without its entrypoint. */
function createdBy({ config: { args, process } }: Container, parent: Image): string {
  const cmd = process?.cmd ?? args.slice(parent.config.entrypoint.length);
  return (cmd.length > 0 ? cmd : args).join(' ');
}

async function readChanges(
  store: Store,
  container: Container,
  parent: Image,
  { pause, packing, epoch, warnings }: CommitOptions,
  scratch: Scratch,
): Promise<CapturedLayer> {
  const state = container.readState();
  const init = liveStatus(state) === 'running' ? state.init?.pid : undefined;
  const paused = init !== undefined && pause ? await holdStill(container, init) : undefined;
  try {
    if (init !== undefined) flushMappedFiles(init);
    const layers = { upper: toBytes(container.upper), work: toBytes(container.work), lowers: parent.layers };
    const archive = packUpper(layers, { warnings, latest: epoch });
    return await captureLayer(archive, store.layers.stack(parent.chainIds), packing, scratch, warnings);
  } finally {
    await paused?.end();
  }
}

/** Holds the container's processes still, by its control group where that can be; undefined where they are already. */
async function holdStill(container: Container, init: number): Promise<FrozenGroup | Pause | undefined> {
  const groups = readGroups(container.directory);
  const frozen = groups === undefined ? undefined : await FrozenGroup.begin(groups);
  if (frozen !== undefined || isPaused(container)) return frozen;
  return Pause.begin(init);
}

async function enter(
  store: Store,
  scratch: Scratch,
  parent: Image,
  layer: CapturedLayer,
  growth: Growth,
  { warnings }: CommitOptions,
): Promise<Digest[]> {
  const { platform } = parent;
  const chainId = chainIdsOf([...parent.diffIds, layer.diffId]).at(-1) ?? layer.diffId;
  const image = growImage(store.layout, parent, layer, growth);
  if (!store.layers.has(chainId)) {
    const { size, archiveSize, blob, index } = layer;
    const isOurs = store.layers.adopt(layer.path, chainId, { size, archiveSize, blob: blob.digest }, scratch);
    if (isOurs) await tryPlaceLayerIndex(store.layers, chainId, index, scratch, warnings);
  }
  return ingest(store, scratch, [image], { platform, limits: DEFAULT_LIMITS, warnings });
}

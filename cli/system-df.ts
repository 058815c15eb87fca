import { Command } from 'commander';
import { type Container, liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { describeContainer } from '../runner/container/listing.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type Digest, hexOf } from '../runner/image/digest.ts';
import { type Image } from '../runner/image/image.ts';
import { reach } from '../runner/image/reach.ts';
import { familiarParts } from '../runner/image/reference.ts';
import { ImageSizes } from '../runner/image/sizes.ts';
import { openStore, type Store } from '../runner/image/store.ts';
import { age } from './age.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { printable } from './printable.ts';
import { alignRows, listLines } from './table.ts';
import { type Row } from './template.ts';

interface Options {
  readonly verbose?: true;
  readonly format?: string;
}

const TITLES = {
  Type: 'TYPE',
  TotalCount: 'TOTAL',
  Active: 'ACTIVE',
  Size: 'SIZE',
  Reclaimable: 'RECLAIMABLE',
} as const;

const HELP = `
Images: layers as they are unpacked, each once, however many images have it, and the indexes of them. Archives: the same as they came, with manifests
and configurations; they are what is pushed and saved. Left over: what killed processes left and nothing needs. Reclaimable is
what "lamina system prune -a" removes.`;

/** What the store has, gathered once. */
class Usage {
  readonly store: Store;
  readonly images: Image[];
  readonly users: Map<Digest, string[]>;
  readonly containers: Container[];
  readonly sizes: ImageSizes;

  constructor(store: Store) {
    this.store = store;
    this.images = store.list();
    this.users = store.users();
    this.containers = new ContainerStore(store.root).list();
    this.sizes = new ImageSizes(store, this.images);
  }

  isActive = ({ id }: Image): boolean => this.users.has(id);

  rows(): Row[] {
    const spare = this.store.spare();
    const spareCount = spare.blobs.length + spare.layers.length;
    return [
      this.#imageRow(),
      this.#archiveRow(),
      this.#containerRow(),
      row('Left over', spareCount, 0, spare.bytes, spare.bytes),
    ];
  }

  #imageRow(): Row {
    const active = this.images.filter(this.isActive);
    const [all, kept] = [this.#layerBytes(this.images), this.#layerBytes(active)];
    return row('Images', this.images.length, active.length, all, all - kept);
  }

  /** Bytes of all layers of images, each once, with their indexes. */
  #layerBytes(images: readonly Image[]): number {
    const chainIds = new Set(images.flatMap((image) => image.chainIds));
    const { layers } = this.store;
    return [...chainIds].reduce((sum, chainId) => sum + layers.size(chainId) + layers.indexSize(chainId), 0);
  }

  #archiveRow(): Row {
    const entries = this.store.entries().map(({ descriptor }) => descriptor);
    const active = new Set(this.images.filter(this.isActive).flatMap(({ manifests }) => manifests));
    const all = this.#blobBytes(entries);
    const kept = this.#blobBytes(entries.filter(({ digest }) => active.has(digest)));
    return row('Archives', all.count, kept.count, all.bytes, all.bytes - kept.bytes);
  }

  #blobBytes(entries: Parameters<typeof reach>[1]): { readonly count: number; readonly bytes: number } {
    const { layout } = this.store;
    const blobs = [...reach(layout, entries).blobs].filter((digest) => layout.has(digest));
    return { count: blobs.length, bytes: blobs.reduce((sum, digest) => sum + (layout.sizeOf(digest) ?? 0), 0) };
  }

  #containerRow(): Row {
    const sized = this.containers.map((container) => ({ container, size: treeSize(container.upper) }));
    const ended = sized.filter(({ container }) => !isUp(container));
    const sum = (some: readonly { readonly size: number }[]): number =>
      some.reduce((total, { size }) => total + size, 0);
    return row('Containers', sized.length, sized.length - ended.length, sum(sized), sum(ended));
  }
}

function isUp(container: Container): boolean {
  return !['exited', 'dead'].includes(liveStatus(container.readState()));
}

function row(type: string, count: number, active: number, size: number, reclaimable: number): Row {
  const share = size === 0 ? '' : ` (${Math.floor((reclaimable * 100) / size)}%)`;
  return {
    Type: type,
    TotalCount: String(count),
    Active: String(active),
    Size: humanSize(size),
    Reclaimable: `${humanSize(reclaimable)}${share}`,
  };
}

function verboseLines({ images, users, sizes, containers, store }: Usage): string[] {
  const imageRows = images.flatMap((image) => {
    const { size, shared, unique } = sizes.of(image);
    const count = String(users.get(image.id)?.length ?? 0);
    const rest = [hexOf(image.id).slice(0, 12), age(image.created)];
    const names = image.names.length === 0 ? [{ repository: '<none>', tag: '<none>' }] : image.names.map(familiarParts);
    const shown = [size, shared, unique].map(humanSize);
    return names.map(({ repository, tag }) => [printable(repository), printable(tag), ...rest, ...shown, count]);
  });
  const containerRows = containers.map((container) => {
    const { ID, Image, Command, RunningFor, Status, Names } = describeContainer(container, Date.now(), false);
    return [ID, Image, Command, humanSize(treeSize(container.upper)), RunningFor, Status, Names].map(printable);
  });
  const spare = store.spare();
  return [
    'Images space usage:',
    '',
    ...alignRows([
      ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'],
      ...imageRows,
    ]),
    '',
    'Containers space usage:',
    '',
    ...alignRows([['CONTAINER ID', 'IMAGE', 'COMMAND', 'SIZE', 'CREATED', 'STATUS', 'NAMES'], ...containerRows]),
    '',
    `Left over: ${spare.blobs.length} blobs, ${spare.layers.length} layers, ${humanSize(spare.bytes)}`,
  ];
}

async function df({ verbose, format }: Options): Promise<void> {
  await enterUserNamespace(true);
  const usage = new Usage(openStore());
  const listing = { titles: TITLES, columns: Object.keys(TITLES) };
  const lines = verbose === true ? verboseLines(usage) : listLines(usage.rows(), listing, format);
  for (const line of lines) print(`${line}\n`);
}

/** `lamina system df`. */
export function createCommand(): Command {
  return new Command('df')
    .description('Show how much the store takes, and what of it could be had back.')
    .option('-v, --verbose', 'each image and container, and what images share')
    .option('--format <format>', `table, json, or a Go template; fields: ${Object.keys(TITLES).join(', ')}`)
    .addHelpText('after', HELP)
    .action(df);
}

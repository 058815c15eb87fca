import { Command, Option } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { hexOf } from '../runner/image/digest.ts';
import { FILTER_NAMES, globOf, isNamedLike, parseFilters } from '../runner/image/filters.ts';
import { type Image } from '../runner/image/image.ts';
import { familiarParts } from '../runner/image/reference.ts';
import { ImageSizes } from '../runner/image/sizes.ts';
import { openStore, type Store } from '../runner/image/store.ts';
import { age, dateOf } from './age.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';
import { type Listing, listLines } from './table.ts';
import { type Row } from './template.ts';
import { collect } from './container-flags/collect.ts';

interface Options {
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly digests?: boolean;
  readonly trunc: boolean;
  readonly noheading?: true;
  readonly sort: SortKey;
  readonly filter: readonly string[];
  readonly format?: string;
}

const SORT_KEYS = ['created', 'id', 'repository', 'size', 'tag'] as const;
type SortKey = (typeof SORT_KEYS)[number];

const TITLES = {
  ID: 'IMAGE ID',
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  SharedSize: 'SHARED SIZE',
  UniqueSize: 'UNIQUE SIZE',
  VirtualSize: 'SIZE',
  Containers: 'CONTAINERS',
  Labels: 'LABELS',
} as const;

const HELP = `
--format takes "json", a Go template such as '{{.Repository}}:{{.Tag}} {{.Size}}', or the same after "table"; fields:
${Object.keys(TITLES).join(', ')}.`;

/** @param name `images`, or `ls` below `image`. */
export function createCommand(name = 'images'): Command {
  return new Command(name)
    .description('List the images of the store.')
    .argument('[name]', 'only those that have this name, with any tag where it has none; * and ? match parts')
    .option('-a, --all', 'accepted for the sake of docker: there are no hidden images')
    .option('--digests', 'with the digests that they were pulled by')
    .option('-f, --filter <key=value>', `only some (${FILTER_NAMES}); can be repeated`, collect, [])
    .option('--format <format>', 'table, json, or a Go template')
    .option('-q, --quiet', 'print image ids alone')
    .option('--json', 'print a JSON array')
    .addOption(
      new Option('--sort <by>', 'in which order; sizes and texts ascend').choices(SORT_KEYS).default('created'),
    )
    .option('-n, --noheading', 'print no titles of columns')
    .option('--no-trunc', 'print whole image ids')
    .addHelpText('after', HELP)
    .action((pattern: string | undefined, _: unknown, command: Command) =>
      listImages(pattern, command.opts<Options>()),
    );
}

async function listImages(pattern: string | undefined, options: Options): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const all = store.list();
  const sizes = new ImageSizes(store, all);
  const filters = pattern === undefined ? options.filter : [...options.filter, `reference=${pattern}`];
  const images = all.filter(parseFilters(filters, store));
  sortImages(images, options.sort, sizes);
  if (options.json === true)
    print(
      `${printableJson(
        images.map((image) => toJson(store, image)),
        2,
      )}\n`,
    );
  else for (const line of lines(images, store, sizes, filters, options)) print(`${line}\n`);
}

/** By what is one for all of an image's names; by names, its rows are sorted later. */
function sortImages(images: Image[], key: SortKey, sizes: ImageSizes): void {
  images.sort((one, other) => (other.created ?? '').localeCompare(one.created ?? ''));
  if (key === 'id') images.sort((one, other) => compare(one.id, other.id));
  if (key === 'size') images.sort((one, other) => sizes.of(one).size - sizes.of(other).size);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

function sortRows(rows: Row[], key: SortKey): void {
  const field = { repository: 'Repository', tag: 'Tag' }[key as string];
  if (field !== undefined) rows.sort((one, other) => compare(String(one[field]), String(other[field])));
}

function lines(
  images: readonly Image[],
  store: Store,
  sizes: ImageSizes,
  filters: readonly string[],
  options: Options,
): string[] {
  const patterns = filters
    .filter((filter) => filter.startsWith('reference='))
    .map((filter) => globOf(filter.slice(10)));
  if (options.quiet === true) return [...new Set(images.map((image) => shownId(image, options.trunc)))];
  const users = store.users();
  const rows = images.flatMap((image) => {
    const common = commonFields(image, sizes, users.get(image.id)?.length ?? 0, options);
    return namesOf(image, patterns).flatMap((names) => withDigests(image, { ...names, ...common }, options));
  });
  sortRows(rows, options.sort);
  const columns = ['Repository', 'Tag', ...(options.digests === true ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'];
  const listing: Listing = { titles: TITLES, columns };
  return listLines(rows, listing, options.format, options.noheading === true);
}

function namesOf(image: Image, patterns: readonly RegExp[]): Row[] {
  const names = patterns.length === 0 ? image.names : image.names.filter((name) => isNamedLike(name, patterns));
  if (names.length === 0) return [{ Repository: '<none>', Tag: '<none>' }];
  return names.map(familiarParts).map(({ repository, tag }) => ({ Repository: repository, Tag: tag || '<none>' }));
}

/** A row for each digest of the row's repository; of an image without a name, for each repository. */
function withDigests({ names, repoDigests }: Image, row: Row, { digests }: Options): Row[] {
  const origins = repoDigests.map((origin) => {
    const [repository = '', digest = ''] = origin.split('@');
    return { Repository: familiarParts(repository).repository, Digest: digest };
  });
  const own = origins.filter(({ Repository }) => names.length === 0 || Repository === row['Repository']);
  if (own.length === 0) return [{ ...row, Digest: '<none>' }];
  return (digests === true ? own : own.slice(0, 1)).map((origin) => ({ ...row, ...origin }));
}

function commonFields(image: Image, sizes: ImageSizes, containers: number, { trunc }: Options): Row {
  const { size, shared, unique } = sizes.of(image);
  return {
    ID: shownId(image, trunc),
    Digest: '<none>',
    CreatedSince: age(image.created),
    CreatedAt: dateOf(image.created),
    Size: humanSize(size),
    SharedSize: humanSize(shared),
    UniqueSize: humanSize(unique),
    VirtualSize: humanSize(size),
    Containers: containers,
    Labels: image.config.labels,
  };
}

function toJson(store: Store, image: Image): unknown {
  const { id, manifests, names, repoDigests, platform, created } = image;
  const layers = image.diffIds.length;
  return { id, manifests, names, repoDigests, platform, created, size: store.sizeOf(image), layers };
}

function shownId({ id }: Image, trunc: boolean): string {
  return trunc ? hexOf(id).slice(0, 12) : id;
}

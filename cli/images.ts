import { Command } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { hexOf } from '../runner/image/digest.ts';
import { type Image } from '../runner/image/image.ts';
import { familiarParts } from '../runner/image/reference.ts';
import { openStore, type Store } from '../runner/image/store.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { printable, printableJson } from './printable.ts';

interface Options {
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly trunc: boolean;
}

/** @param name `images`, or `ls` below `image`. */
export function createCommand(name = 'images'): Command {
  return new Command(name)
    .description('List the images of the store.')
    .option('-q, --quiet', 'print image ids alone')
    .option('--json', 'print a JSON array')
    .option('--no-trunc', 'print whole image ids')
    .action((_: unknown, command: Command) => listImages(command.opts<Options>()));
}

async function listImages({ quiet, json, trunc }: Options): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const images = store.list().sort((one, other) => (other.created ?? '').localeCompare(one.created ?? ''));
  if (json === true)
    printLine(
      printableJson(
        images.map((image) => toJson(store, image)),
        2,
      ),
    );
  else if (quiet === true) for (const id of new Set(images.map((image) => shownId(image, trunc)))) printLine(id);
  else for (const line of table(store, images, trunc)) printLine(line);
}

function printLine(line: string): void {
  print(`${line}\n`);
}

function toJson(store: Store, image: Image): unknown {
  const { id, manifests, names, platform, created } = image;
  return { id, manifests, names, platform, created, size: store.sizeOf(image), layers: image.diffIds.length };
}

function shownId({ id }: Image, trunc: boolean): string {
  return trunc ? hexOf(id).slice(0, 12) : id;
}

function table(store: Store, images: readonly Image[], trunc: boolean): string[] {
  const rows = images.flatMap((image) => {
    const rest = [shownId(image, trunc), age(image.created), humanSize(store.sizeOf(image))];
    const names = image.names.map(familiarParts);
    return (names.length > 0 ? names : [{ repository: '<none>', tag: '<none>' }]).map(({ repository, tag }) => [
      printable(repository),
      printable(tag),
      ...rest,
    ]);
  });
  return align([['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE'], ...rows]);
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 3))
      .join('')
      .trimEnd(),
  );
}

const STEPS: readonly (readonly [seconds: number, unit: string])[] = [
  [365 * 86400, 'year'],
  [30 * 86400, 'month'],
  [7 * 86400, 'week'],
  [86400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

function age(created: string | undefined): string {
  const since = (Date.now() - Date.parse(created ?? '')) / 1000;
  if (!Number.isFinite(since)) return 'N/A';
  const [seconds, unit] = STEPS.find(([step]) => since >= step) ?? [1, 'second'];
  const count = Math.max(0, Math.floor(since / seconds));
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

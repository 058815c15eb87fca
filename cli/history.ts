import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { hexOf } from '../runner/image/digest.ts';
import { type Image } from '../runner/image/image.ts';
import { ImageSizes } from '../runner/image/sizes.ts';
import { openStore } from '../runner/image/store.ts';
import { age, dateOf } from './age.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { listLines } from './table.ts';
import { type Row } from './template.ts';

interface Options {
  readonly trunc: boolean;
  readonly quiet?: true;
  readonly human: string | boolean;
  readonly format?: string;
}

const TITLES = {
  ID: 'IMAGE',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  Comment: 'COMMENT',
} as const;

const SHORT_COMMAND = 45;

/** `lamina history`. */
export function createCommand(): Command {
  return new Command('history')
    .description('Show how an image was made, the last step first.')
    .argument('<image>', 'name, id, or beginning of an id')
    .option('--no-trunc', 'print commands and ids in full')
    .option('-q, --quiet', 'print ids alone')
    .option('-H, --human [bool]', 'sizes and times for people; false: bytes and dates', true)
    .option('--format <format>', `table, json, or a Go template; fields: ${Object.keys(TITLES).join(', ')}`)
    .action(history);
}

async function history(reference: string, options: Options): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const image = store.resolve(reference);
  const rows = rowsOf(image, new ImageSizes(store, [image]).layersOf(image), options);
  const columns = ['ID', options.human === 'false' ? 'CreatedAt' : 'CreatedSince', 'CreatedBy', 'Size', 'Comment'];
  const lines =
    options.quiet === true
      ? rows.map(({ ID }) => String(ID))
      : listLines(rows, { titles: TITLES, columns }, options.format);
  for (const line of lines) print(`${line}\n`);
}

/** One for each step; an image that keeps no history has one for each layer. */
function rowsOf(image: Image, sizes: readonly number[], { trunc, human }: Options): Row[] {
  const nothing = { created: undefined, createdBy: '', comment: '', emptyLayer: false };
  const steps = image.history.length > 0 ? image.history : sizes.map(() => nothing);
  let layer = 0;
  const rows = steps.map(({ created, createdBy, comment, emptyLayer }) => {
    const size = emptyLayer ? 0 : (sizes[layer++] ?? 0);
    const isLong = trunc && createdBy.length > SHORT_COMMAND;
    return {
      ID: '<missing>',
      CreatedSince: age(created),
      CreatedAt: human === 'false' ? (created ?? 'N/A') : dateOf(created),
      CreatedBy: isLong ? `${createdBy.slice(0, SHORT_COMMAND - 1)}…` : createdBy,
      Size: human === 'false' ? String(size) : humanSize(size),
      Comment: comment,
    };
  });
  const [last, ...others] = rows.reverse();
  const id = trunc ? hexOf(image.id).slice(0, 12) : image.id;
  return last === undefined ? [] : [{ ...last, ID: id }, ...others];
}

import { Command, Option } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { FILTER_KEYS, containerFilter } from '../runner/container/filters.ts';
import { type Container } from '../runner/container/container.ts';
import { describeContainer, isUp } from '../runner/container/listing.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { openStore } from '../runner/image/store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { collect } from './container-flags/collect.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { type Listing, listLines } from './table.ts';
import { type Row } from './template.ts';

interface Flags {
  readonly all?: true;
  readonly quiet?: true;
  readonly last?: string;
  readonly latest?: true;
  readonly size?: true;
  readonly filter?: readonly string[];
  readonly format?: string;
  readonly noheading?: true;
  readonly sort?: (typeof SORT_KEYS)[number];
  /** False with --no-trunc. */
  readonly trunc: boolean;
}

const TITLES = {
  ID: 'CONTAINER ID',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Ports: 'PORTS',
  State: 'STATE',
  Status: 'STATUS',
  Size: 'SIZE',
  Names: 'NAMES',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  Networks: 'NETWORKS',
} as const;

const COLUMNS = ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names'];

// podman's words.
const SORT_KEYS = ['command', 'created', 'id', 'image', 'names', 'runningfor', 'size', 'status'] as const;

const HELP = `
A container is Created, Up, Restarting or Exited; Dead where its supervisor was killed; Up (orphaned) where that was killed
and the container's first process has escaped its end.

--format takes "json", a Go template such as '{{.ID}} {{.Status}}', or the same after "table"; fields:
${Object.keys(TITLES).join(', ')}.`;

function countOf({ last, latest }: Flags): number | undefined {
  if (latest === true) return 1;
  if (last === undefined || last === '-1') return undefined;
  if (/^\d{1,9}$/.test(last)) return Number(last);
  throw new Error(`--last ${JSON.stringify(last)} is no number of containers`);
}

/** Those that are asked for, the newest first. */
function chosen(flags: Flags): Container[] {
  const all = new ContainerStore(storeRoot()).list();
  const { filter = [] } = flags;
  const count = countOf(flags);
  // A filter that asks for a state asks for those that have ended, too.
  const isWhole = flags.all === true || count !== undefined || filter.some((text) => /^(?:status|exited)=/.test(text));
  const passes = containerFilter(filter, all, () => openStore());
  const found = all.filter((container) => (isWhole || isUp(container.readState())) && passes(container));
  return sorted(found.slice(0, count), flags.sort);
}

/** Upwards; by age the oldest comes first. */
function sorted(containers: Container[], key: Flags['sort']): Container[] {
  if (key === undefined) return containers;
  const keys = new Map(containers.map((container) => [container, sortKey(container, key)]));
  const keyOf = (container: Container): string | number => keys.get(container) ?? '';
  return containers.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : keyOf(one) > keyOf(other) ? 1 : 0));
}

function sortKey(container: Container, key: (typeof SORT_KEYS)[number]): string | number {
  const { config } = container;
  if (key === 'size') return treeSize(container.upper);
  if (key === 'command') return config.args.join(' ');
  if (key === 'id') return config.id;
  if (key === 'image') return config.image;
  if (key === 'names') return config.name;
  if (key === 'status') return describeContainer(container, Date.now(), true).State;
  return config.created;
}

function rowOf(container: Container, { trunc, size }: Flags): Row {
  const listed = describeContainer(container, Date.now(), !trunc);
  return { ...listed, Size: size === true ? sizeOf(container) : '0 B' };
}

/** What it has changed, and that together with its image. */
function sizeOf(container: Container): string {
  const own = treeSize(container.upper);
  const layers = container.config.layers.map((layer) => treeSize(Buffer.from(layer, 'latin1').toString('utf8')));
  return `${humanSize(own)} (virtual ${humanSize(layers.reduce((sum, bytes) => sum + bytes, own))})`;
}

function act(flags: Flags): void {
  const containers = chosen(flags);
  if (flags.quiet === true) {
    for (const container of containers) print(`${describeContainer(container, Date.now(), !flags.trunc).ID}\n`);
    return;
  }
  const rows = containers.map((container) => rowOf(container, flags));
  const listing: Listing = { titles: TITLES, columns: flags.size === true ? [...COLUMNS, 'Size'] : COLUMNS };
  for (const line of listLines(rows, listing, flags.format, flags.noheading === true)) print(`${line}\n`);
}

/** @param name `ps`, or `ls` below `container`. */
export function createCommand(name = 'ps'): Command {
  return new Command(name)
    .description('List containers that run.')
    .option('-a, --all', 'all containers')
    .option('-q, --quiet', 'ids alone')
    .option('-n, --last <number>', 'the newest so many, running or not')
    .option('-l, --latest', 'the newest one, running or not')
    .option('-s, --size', 'with the bytes of the files that it has changed, and of all that it has')
    .option('-f, --filter <key=value>', `only some (${FILTER_KEYS}); can be repeated`, collect)
    .option('--format <format>', 'table, json, or a Go template')
    .addOption(new Option('--sort <key>', 'in the order of this (default: the newest first)').choices(SORT_KEYS))
    .option('--noheading', 'no line of titles')
    .option('--no-trunc', 'ids and commands in full')
    .addHelpText('after', HELP)
    .action(act);
}

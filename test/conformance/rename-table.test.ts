import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';
import { type Tree } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

// rename(2) with each of its flags, of everything a union can have at a name to everything it can have at another.

const NOREPLACE = 1;
const EXCHANGE = 2;

type Shape = 'nothing' | 'file' | 'filled directory' | 'empty directory';

/** What a union has at a name, and in which layers. */
interface Kind {
  readonly name: string;
  readonly shape: Shape;
  readonly layers: (name: string) => { readonly upper?: Tree; readonly top?: Tree; readonly bottom?: Tree };
  /** Done in the mount first. */
  readonly prepare?: (root: System, path: string) => Promise<void>;
  /** What is seen at the name then; see `look`. */
  readonly seen: (name: string) => string;
}

const nothing: readonly Kind[] = [
  { name: 'a name that is not there', shape: 'nothing', layers: () => ({}), seen: () => 'nothing' },
  {
    name: 'a name that a whiteout hides',
    shape: 'nothing',
    layers: (name) => ({ top: { [name]: { hidden: '' } } }),
    prepare: async (root, path) => {
      await root.unlink(`${path}/hidden`);
      await root.rmdir(path);
    },
    seen: () => 'nothing',
  },
];

const files: readonly Kind[] = [
  {
    name: 'an upper file',
    shape: 'file',
    layers: (name) => ({ upper: { [name]: `upper ${name}` } }),
    seen: (name) => `file upper ${name}`,
  },
  {
    name: 'a lower file',
    shape: 'file',
    layers: (name) => ({ top: { [name]: `lower ${name}` }, bottom: { [name]: 'hidden' } }),
    seen: (name) => `file lower ${name}`,
  },
  {
    name: 'a copied-up file',
    shape: 'file',
    layers: (name) => ({ top: { [name]: `lower ${name}` } }),
    prepare: async (root, path) => {
      await root.chmod(path, 0o600);
    },
    seen: (name) => `file lower ${name}`,
  },
];

const filled: readonly Kind[] = [
  {
    name: 'an upper directory',
    shape: 'filled directory',
    layers: (name) => ({ upper: { [name]: { [`u-${name}`]: '' } } }),
    seen: (name) => `directory u-${name}`,
  },
  {
    name: 'a lower directory',
    shape: 'filled directory',
    layers: (name) => ({ top: { [name]: { [`l-${name}`]: '' } } }),
    seen: (name) => `directory l-${name}`,
  },
  {
    name: 'a merged directory',
    shape: 'filled directory',
    layers: (name) => ({
      upper: { [name]: { [`u-${name}`]: '' } },
      top: { [name]: { [`l-${name}`]: '' } },
      bottom: { [name]: { [`b-${name}`]: '' } },
    }),
    seen: (name) => `directory b-${name} l-${name} u-${name}`,
  },
  {
    name: 'an opaque directory',
    shape: 'filled directory',
    layers: (name) => ({ top: { [name]: { hidden: '' } } }),
    prepare: async (root, path) => {
      await root.unlink(`${path}/hidden`);
      await root.rmdir(path);
      await root.mkdir(path);
      await root.put(`${path}/new`, '');
    },
    seen: () => 'directory new',
  },
];

const empty: readonly Kind[] = [
  {
    name: 'an empty upper directory',
    shape: 'empty directory',
    layers: (name) => ({ upper: { [name]: {} } }),
    seen: () => 'directory ',
  },
  {
    name: 'an empty lower directory',
    shape: 'empty directory',
    layers: (name) => ({ top: { [name]: {} } }),
    seen: () => 'directory ',
  },
  {
    name: 'a merged directory that whiteouts empty',
    shape: 'empty directory',
    layers: (name) => ({ upper: { [name]: {} }, top: { [name]: { a: '' } }, bottom: { [name]: { b: '' } } }),
    prepare: async (root, path) => {
      await root.unlink(`${path}/a`);
      await root.unlink(`${path}/b`);
    },
    seen: () => 'directory ',
  },
];

const SOURCES = [...files, ...filled];
const TARGETS = [...nothing, ...files, ...filled, ...empty];

const FLAGS = [
  { name: 'rename', flags: 0 },
  { name: 'RENAME_NOREPLACE', flags: NOREPLACE },
  { name: 'RENAME_EXCHANGE', flags: EXCHANGE },
];

/** The errno of renaming one shape to the other, by rename(2). */
function outcome(flags: number, from: Shape, to: Shape): string {
  if (flags === EXCHANGE) return to === 'nothing' ? 'ENOENT' : 'none';
  if (to === 'nothing') return 'none';
  if (flags === NOREPLACE) return 'EEXIST';
  if (from === 'file') return to === 'file' ? 'none' : 'EISDIR';
  if (to === 'file') return 'ENOTDIR';
  return to === 'filled directory' ? 'ENOTEMPTY' : 'none';
}

async function look(root: System, path: string): Promise<string> {
  if (!(await root.exists(path))) return 'nothing';
  const isDirectory = ((await root.stat(path)).mode & 0o170000) === 0o040000;
  return isDirectory ? `directory ${(await root.names(path)).join(' ')}` : `file ${await root.text(path)}`;
}

function expected(flags: number, from: Kind, to: Kind): readonly [from: string, to: string] {
  if (outcome(flags, from.shape, to.shape) !== 'none') return [from.seen('from'), to.seen('to')];
  return [flags === EXCHANGE ? to.seen('to') : 'nothing', from.seen('from')];
}

function row({ name, flags }: (typeof FLAGS)[number], from: Kind, to: Kind): Row {
  const [one, other] = [from.layers('from'), to.layers('to')];
  const [left, right] = expected(flags, from, to);
  return {
    name: `${name} of ${from.name} to ${to.name}`,
    differs: flags === 0 ? undefined : { 'fuse-native': LIMITS.renameFlags },
    lowers: [
      { ...one.top, ...other.top },
      { ...one.bottom, ...other.bottom },
    ],
    upper: { ...one.upper, ...other.upper },
    async run({ root, at }) {
      await from.prepare?.(root, at('from'));
      await to.prepare?.(root, at('to'));
      expect(await errnoOf(root.rename(at('from'), at('to'), flags))).toBe(outcome(flags, from.shape, to.shape));
      expect([await look(root, at('from')), await look(root, at('to'))]).toEqual([left, right]);
    },
    async after({ root, at }) {
      expect([await look(root, at('from')), await look(root, at('to'))]).toEqual([left, right]);
      const shown = [left === 'nothing' ? [] : ['from'], right === 'nothing' ? [] : ['to']].flat();
      expect(await root.names(at())).toEqual(shown);
    },
  };
}

conformance(
  'rename table',
  FLAGS.flatMap((flag) => SOURCES.flatMap((from) => TARGETS.map((to) => row(flag, from, to)))),
);

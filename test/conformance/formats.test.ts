import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Making, type Tree, directory, file, whiteout } from '../support/tree.ts';
import { type Need, type Row, conformance } from './suite.ts';

const NOT_OVERLAYFS = { kernel: 'overlayfs does not read this format' } as const;

/** A format in which a layer hides a name of the layers below it. */
interface WhiteoutFormat {
  readonly name: string;
  /** A directory of the layer in which `a` is hidden, and `keep` is there. */
  readonly hiding: (rest: Tree) => Tree[string];
  readonly needs?: readonly Need[];
  /** Why a union does not remove a directory of nothing but such whiteouts. */
  readonly stays?: Row['differs'];
  readonly differs?: Row['differs'];
}

const WHITEOUTS: readonly WhiteoutFormat[] = [
  { name: 'character device 0:0', hiding: (rest) => ({ ...rest, a: whiteout }) },
  { name: '.wh.NAME', hiding: (rest) => ({ ...rest, '.wh.a': '' }), differs: NOT_OVERLAYFS },
  {
    name: 'trusted.overlay.whiteout in a directory of trusted.overlay.opaque=x',
    hiding: (rest) =>
      directory(
        { ...rest, a: file('', { xattrs: { 'trusted.overlay.whiteout': 'y' } }) },
        { xattrs: { 'trusted.overlay.opaque': 'x' } },
      ),
    needs: ['trusted xattrs'],
    stays: { kernel: 'overlayfs counts these whiteouts as files when it removes a directory: ENOTEMPTY' },
  },
  {
    name: 'user.overlay.whiteout in a directory of user.overlay.opaque=x',
    hiding: (rest) =>
      directory(
        { ...rest, a: file('', { xattrs: { 'user.overlay.whiteout': 'y' } }) },
        { xattrs: { 'user.overlay.opaque': 'x' } },
      ),
    differs: NOT_OVERLAYFS,
  },
];

function whiteoutRows({ name, hiding, stays, ...conditions }: WhiteoutFormat): readonly Row[] {
  return [
    {
      ...conditions,
      name: `whiteout as ${name}: hides below, not above, and is not listed`,
      lowers: [{ d: { top: '' } }, { d: hiding({ keep: 'k' }) }, { d: { a: 'hidden', below: '' } }],
      async run({ root, at }) {
        expect(await root.names(at('d'))).toEqual(['below', 'keep', 'top']);
        expect(await errnoOf(root.stat(at('d/a')))).toBe('ENOENT');
        await root.put(at('d/a'), 'new');
        expect(await root.text(at('d/a'))).toBe('new');
      },
    },
    {
      ...conditions,
      name: `whiteout as ${name}: hides a directory with all that is in it`,
      lowers: [{ d: hiding({}) }, { d: { a: { x: '' } } }],
      async run({ root, at }) {
        expect(await root.names(at('d'))).toEqual([]);
        await root.mkdir(at('d/a'));
        expect(await root.names(at('d/a'))).toEqual([]);
      },
      async after({ root, at }) {
        expect(await root.names(at('d/a'))).toEqual([]);
      },
    },
    {
      ...conditions,
      differs: stays ?? conditions.differs,
      name: `whiteout as ${name}: a directory of nothing else is empty, and is removed`,
      lowers: [{ d: hiding({}) }, { d: { a: '' } }],
      async run({ root, at }) {
        await root.rmdir(at('d'));
      },
      async after({ root, at }) {
        expect(await root.names(at())).toEqual([]);
      },
    },
  ];
}

/** A format in which a directory hides the directories of its name below it. */
interface OpaqueFormat {
  readonly name: string;
  readonly marked: (content: Tree) => Tree[string];
  readonly needs?: readonly Need[];
  readonly differs?: Row['differs'];
}

function byXattr(name: string, value = 'y'): (content: Tree) => Tree[string] {
  const making: Making = { xattrs: { [name]: value } };
  return (content) => directory(content, making);
}

const OPAQUE: readonly OpaqueFormat[] = [
  { name: 'trusted.overlay.opaque', marked: byXattr('trusted.overlay.opaque'), needs: ['trusted xattrs'] },
  { name: 'user.overlay.opaque', marked: byXattr('user.overlay.opaque'), differs: NOT_OVERLAYFS },
  { name: 'user.fuseoverlayfs.opaque', marked: byXattr('user.fuseoverlayfs.opaque'), differs: NOT_OVERLAYFS },
  { name: '.wh..wh..opq', marked: (content) => ({ ...content, '.wh..wh..opq': '' }), differs: NOT_OVERLAYFS },
];

function opaqueRows({ name, marked, ...conditions }: OpaqueFormat): readonly Row[] {
  return [
    {
      ...conditions,
      name: `opaque as ${name}: hides what is below, shows what is above and in it`,
      lowers: [{ d: { top: '' } }, { d: marked({ mine: 'm', sub: { s: '' } }) }, { d: { hidden: '', sub: { t: '' } } }],
      async run({ root, at }) {
        expect(await root.names(at('d'))).toEqual(['mine', 'sub', 'top']);
        expect(await root.names(at('d/sub'))).toEqual(['s']);
        expect(await errnoOf(root.stat(at('d/hidden')))).toBe('ENOENT');
        expect(await root.listxattr(at('d'))).toEqual([]);
      },
    },
    {
      ...conditions,
      name: `opaque as ${name}: in the upper, and stays so over changes and a remount`,
      lowers: [{ d: { hidden: '', other: { x: '' } } }],
      upper: { d: marked({ mine: 'm' }) },
      async run({ root, at }) {
        expect(await root.names(at('d'))).toEqual(['mine']);
        await root.put(at('d/hidden'), 'new');
        await root.mkdir(at('d/other'));
        await root.unlink(at('d/hidden'));
      },
      async after({ root, at }) {
        expect(await root.names(at('d'))).toEqual(['mine', 'other']);
        expect(await root.names(at('d/other'))).toEqual([]);
      },
    },
  ];
}

const together: readonly Row[] = [
  {
    name: 'a whiteout file beside a file of the same layer hides the layers below alone',
    differs: NOT_OVERLAYFS,
    lowers: [{ a: 'shown', '.wh.a': '' }, { a: 'hidden' }],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('shown');
      expect(await root.names(at())).toEqual(['a']);
    },
  },
  {
    name: 'a directory beside its own whiteout file is opaque, as after a replacement in one layer',
    differs: NOT_OVERLAYFS,
    lowers: [{ a: { mine: '' }, '.wh.a': '' }, { a: { hidden: '' } }],
    async run({ root, at }) {
      expect(await root.names(at('a'))).toEqual(['mine']);
    },
  },
  {
    name: 'opaque=n and an empty mark are no marks',
    needs: ['trusted xattrs'],
    lowers: [
      {
        n: directory({ mine: '' }, { xattrs: { 'trusted.overlay.opaque': 'n' } }),
        e: directory({ mine: '' }, { xattrs: { 'trusted.overlay.opaque': '' } }),
      },
      { n: { below: '' }, e: { below: '' } },
    ],
    async run({ root, at }) {
      expect(await root.names(at('n'))).toEqual(['below', 'mine']);
      expect(await root.names(at('e'))).toEqual(['below', 'mine']);
    },
  },
  {
    name: 'a character device of other numbers is no whiteout',
    needs: ['device nodes'],
    lowers: [{}],
    async run({ root, at, lower, unmounted }) {
      await unmounted(async () => {
        await root.mknod(lower(0, 'null'), 0o020666, 0x103);
      });
      expect(await root.stat(at('null'))).toMatchObject({ rdevMajor: 1, rdevMinor: 3 });
    },
  },
];

conformance('formats', [...WHITEOUTS.flatMap(whiteoutRows), ...OPAQUE.flatMap(opaqueRows), ...together]);

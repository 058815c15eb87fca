import { afterAll, beforeAll, describe, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type Tree, directory, file, whiteout } from '../support/tree.ts';
import { type Damage, expectMended } from './expect-mended.ts';
import { Site } from './site.ts';

const REDIRECT = 'trusted.overlay.redirect';
const OPAQUE = 'trusted.overlay.opaque';
const METACOPY = 'trusted.overlay.metacopy';
const ORIGIN = 'trusted.overlay.origin';
const WHITEOUT = 'trusted.overlay.whiteout';

const redirected = (to: string, content: Tree = { own: 'own' }) => directory(content, { xattrs: { [REDIRECT]: to } });
const metacopy = (size: number, xattrs: Record<string, string> = {}) =>
  file('\0'.repeat(size), { xattrs: { [METACOPY]: '', ...xattrs } });
const impure = (content: Tree) => directory(content, { xattrs: { 'trusted.overlay.impure': 'y' } });

const REDIRECTS: readonly Damage[] = [
  {
    name: 'a redirect to nothing',
    upper: { d: redirected('/gone') },
    mended: ['redirect-dangling upper /d'],
  },
  {
    name: 'a redirect to nothing, of a directory whose name the layers below have',
    upper: { d: redirected('gone') },
    top: { d: { hidden: 'hidden' } },
    mended: ['redirect-dangling upper /d'],
  },
  {
    name: 'a redirect to a file',
    upper: { d: redirected('/f') },
    top: { f: 'f' },
    mended: ['redirect-dangling upper /d'],
  },
  {
    name: 'a redirect to what a lower layer has whited out',
    upper: { d: redirected('/a') },
    top: { a: whiteout },
    bottom: { a: { hidden: 'hidden' } },
    mended: ['redirect-dangling upper /d'],
  },
  {
    name: 'redirects that are none',
    upper: {
      up: redirected('/../etc'),
      empty: redirected('/a//b'),
      relative: redirected('a/b'),
      nothing: redirected(''),
      end: redirected('/a/'),
      nul: redirected('/a\0b'),
    },
    top: { a: { b: {} }, relative: { hidden: 'hidden' } },
    mended: ['empty', 'end', 'nothing', 'nul', 'relative', 'up'].map((name) => `redirect-malformed upper /${name}`),
    changes: { kernel: 'it fails to look them up' },
  },
  {
    name: 'a redirect of an opaque directory',
    upper: { d: directory({ own: 'own' }, { xattrs: { [REDIRECT]: '/a', [OPAQUE]: 'y' } }), a: whiteout },
    top: { a: { hidden: 'hidden' } },
    mended: ['redirect-opaque upper /d'],
  },
  {
    name: 'two redirects to one directory',
    upper: { d: redirected('/a'), e: redirected('/a'), a: whiteout },
    top: { a: { below: 'below' } },
    left: ['redirect-duplicate upper /d', 'redirect-duplicate upper /e'],
  },
  {
    name: 'a redirect to a directory that shows in its place, too',
    upper: { p: { d: redirected('/q/a') } },
    top: { q: { a: { below: 'below' } } },
    left: ['redirect-duplicate upper /p/d'],
  },
  {
    name: 'a redirect to a directory that is merged in its place, too',
    upper: { d: redirected('/a'), a: { x: 'x' } },
    bottom: { a: { below: 'below' } },
    left: ['redirect-duplicate upper /d'],
  },
];

const METACOPIES: readonly Damage[] = [
  {
    name: 'a metacopy whose data is nowhere',
    upper: { d: impure({ f: metacopy(5), g: metacopy(5, { [REDIRECT]: '/nowhere/g' }) }) },
    top: { d: {} },
    left: ['metacopy-no-data upper /d/f', 'metacopy-no-data upper /d/g'],
  },
  {
    name: 'a metacopy whose data has another size',
    upper: { d: impure({ f: metacopy(5) }) },
    top: { d: { f: 'longer than five' } },
    left: ['metacopy-size upper /d/f'],
  },
  {
    name: 'a metacopy whose data hides behind a directory',
    upper: { d: impure({ f: metacopy(5) }) },
    top: { d: { f: {} } },
    bottom: { d: { f: '12345' } },
    left: ['metacopy-no-data upper /d/f'],
  },
  {
    name: 'a metacopy with a digest cut short',
    upper: { d: impure({ f: file('\0\0\0\0\0', { xattrs: { [METACOPY]: '\0\x09\0\x01xy' } }) }) },
    top: { d: { f: '12345' } },
    left: ['metacopy-value upper /d/f'],
  },
];

const MARKS: readonly Damage[] = [
  {
    name: 'a mark of opacity with another value',
    upper: { d: directory({}, { xattrs: { [OPAQUE]: 'Y' } }) },
    top: { d: { below: 'below' } },
    mended: ['opaque-value upper /d'],
  },
  {
    name: 'marks on files that they mean nothing on',
    upper: {
      f: file('f', { xattrs: { [OPAQUE]: 'y', 'trusted.overlay.impure': 'y' } }),
      d: directory({}, { xattrs: { [METACOPY]: '' } }),
    },
    make: async ({ system, at }) => {
      await system.symlink('x', at('upper/s'));
      await system.setxattr(at('upper/s'), METACOPY, '');
    },
    mended: [
      'mark-misplaced upper /d',
      'mark-misplaced upper /f',
      'mark-misplaced upper /f',
      'mark-misplaced upper /s',
    ],
  },
  {
    name: 'origins that are none',
    upper: impureRoot({ f: file('f', { xattrs: { [ORIGIN]: 'no handle' } }) }).tree,
    make: impureRoot({}).make,
    mended: ['origin-malformed upper /f'],
  },
  {
    name: 'a record of an owner that is none',
    upper: {
      f: file('f', { xattrs: { 'security.fuseoverlayfs.override_stat': 'root' } }),
      g: file('g', { xattrs: { 'user.containers.override_stat': '0:0:100644:file' } }),
      d: directory({}, { xattrs: { 'user.containers.override_stat': '0:0:9' } }),
    },
    left: ['owner-record upper /d', 'owner-record upper /f'],
  },
  {
    name: 'marks in both namespaces',
    upper: {
      a: directory({}, { xattrs: { [OPAQUE]: 'y' } }),
      b: directory({}, { xattrs: { 'user.overlay.redirect': '/a' } }),
    },
    left: ['mark-foreign upper /'],
  },
];

const WHITEOUTS: readonly Damage[] = [
  {
    name: 'whiteouts of nothing',
    upper: {
      gone: whiteout,
      '.wh.none': '',
      pure: { gone: whiteout },
      d: { stays: whiteout, gone: whiteout, '.wh.kept': '' },
      o: directory({ a: whiteout }, { xattrs: { [OPAQUE]: 'y' } }),
    },
    top: { d: { stays: 'stays', kept: 'kept', gone: whiteout }, o: { a: 'a' } },
    bottom: { d: { gone: 'hidden by the layer above' } },
    mended: ['.wh.none', 'd/gone', 'gone', 'o/a', 'pure/gone'].map((path) => `whiteout-orphan upper /${path}`),
    changes: { kernel: 'it lists a whiteout in a directory that is not merged, and a .wh. file' },
  },
  {
    name: 'a whiteout by name beside the file, and beside a whiteout',
    upper: { '.wh.f': '', f: 'f', '.wh.w': '', w: whiteout, '.wh.d': '', d: { own: 'own' } },
    top: { f: 'below', w: 'below' },
    mended: ['.wh.d', '.wh.f', '.wh.w'].map((path) => `whiteout-doubled upper /${path}`),
    changes: { kernel: 'it lists a .wh. file' },
  },
  {
    name: 'a whiteout by name beside a directory that is merged',
    upper: { '.wh.d': '', d: { own: 'own' } },
    top: { d: { below: 'below' } },
    left: ['whiteout-ambiguous upper /.wh.d'],
  },
  {
    name: 'marks by name that are more than marks',
    upper: { d: { '.wh..wh..opq': { inside: 'data' } }, '.wh.own': 'data', '.wh.': '', '.wh...': '' },
    mended: ['whiteout-nameless upper /.wh.', 'whiteout-nameless upper /.wh...'],
    left: ['whiteout-not-empty upper /d/.wh..wh..opq'],
    changes: { kernel: 'it lists a .wh. file' },
  },
  {
    name: 'whiteouts by xattr with data, and of nothing',
    upper: {
      d: directory(
        {
          data: file('data', { xattrs: { [WHITEOUT]: '' } }),
          nothing: file('', { xattrs: { [WHITEOUT]: '' } }),
          right: file('', { xattrs: { [WHITEOUT]: '' } }),
        },
        { xattrs: { [OPAQUE]: 'x' } },
      ),
    },
    top: { d: { data: 'data', right: 'right' } },
    mended: ['whiteout-orphan upper /d/nothing'],
    left: ['whiteout-not-empty upper /d/data'],
    changes: { kernel: 'it knows no whiteouts by xattr in an upper' },
  },
  {
    name: 'a whiteout by xattr in a directory that is not marked as having such',
    upper: {
      d: { f: file('', { xattrs: { [WHITEOUT]: '' } }) },
      o: directory({ f: file('', { xattrs: { [WHITEOUT]: '' } }) }, { xattrs: { [OPAQUE]: 'y' } }),
    },
    top: { d: { f: 'f' }, o: { f: 'f' } },
    make: ({ system, at }) => system.mkdir(at('work/work')),
    mended: ['whiteout-misplaced upper /d/f', 'whiteout-misplaced upper /o/f'],
    changes: { kernel: 'it lists what is not there', lamina: 'it lists an empty file' },
  },
];

/** A tree whose root is marked as impure. */
function impureRoot(tree: Tree): { readonly tree: Tree; readonly make: (site: Site) => Promise<unknown> } {
  return { tree, make: ({ system, at }) => system.setxattr(at('upper'), 'trusted.overlay.impure', 'y') };
}

const WORKDIRS: readonly Damage[] = [
  {
    name: 'temporary files of a mount that was killed',
    make: ({ system, at }) =>
      system
        .mkdir(at('work/work'))
        .then(() => system.mkdir(at('work/work/#1f')))
        .then(() => system.put(at('work/work/#1f/deep'), 'deep'))
        .then(() => system.put(at('work/work/#a'), 'half of it'))
        .then(() => system.put(at('work/work/17'), 'half of it'))
        .then(() => system.mknod(at('work/work/#b'), 0o020000))
        .then(() => system.mkdir(at('work/index')))
        .then(() => system.put(at('work/index/#2'), 'half of it')),
    mended: [
      'temporary workdir /index/#2',
      'temporary workdir /work/#1f',
      'temporary workdir /work/#a',
      'temporary workdir /work/17',
    ],
  },
  {
    name: "a user's file in the workdir",
    make: ({ system, at }) =>
      system.mkdir(at('work/work')).then(() => system.put(at('work/work/thesis.tex'), 'the only copy')),
    left: ['foreign-file workdir /work/thesis.tex'],
  },
  {
    name: 'a volatile mount that did not end well, and an unknown feature',
    make: ({ system, at }) =>
      system
        .mkdir(at('work/work'))
        .then(() => system.mkdir(at('work/work/incompat')))
        .then(() => system.mkdir(at('work/work/incompat/volatile')))
        .then(() => system.mkdir(at('work/work/incompat/future'))),
    left: ['incompatible workdir /work/incompat/future', 'volatile workdir /work/incompat/volatile'],
  },
  {
    name: 'a workdir in which files stand for directories',
    make: ({ system, at }) => system.put(at('work/work'), '').then(() => system.symlink('/etc', at('work/index'))),
    left: ['workdir-unusable workdir /index', 'workdir-unusable workdir /work'],
  },
];

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('fsck finds and mends, of an upper,', missing), () => {
  let ground: Ground;
  beforeAll(async () => void (ground = await Ground.open('root')));
  afterAll(() => ground.close());

  const damages = { REDIRECTS, METACOPIES, MARKS, WHITEOUTS, WORKDIRS };
  for (const [title, rows] of Object.entries(damages)) {
    describe(title.toLowerCase(), () => {
      test.each(rows)('$name', async (damage) => {
        const site = await Site.make(ground, damage.upper, damage.top, damage.bottom);
        await damage.make?.(site);
        await expectMended(site, damage);
      });
    });
  }
});

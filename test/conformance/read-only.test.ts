import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { file, snapshot, symlink, whiteout } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const rows: readonly Row[] = [
  {
    name: 'every change is EROFS, and nothing changes',
    lowers: [
      { f: file('x', { xattrs: { 'user.x': 'y' } }), g: 'g', d: { e: {} }, s: symlink('f') },
      { d: { low: '' } },
    ],
    async run({ root, at, lower }) {
      const before = await snapshot(root, lower(0));
      const reader = await root.open(at('f'), 0);
      const calls = [
        root.open(at('f'), 1),
        root.open(at('f'), 0o1000),
        root.open(at('n'), 0o101),
        root.mkdir(at('n')),
        root.mknod(at('n'), 0o010644),
        root.symlink('x', at('n')),
        root.link(at('f'), at('n')),
        root.unlink(at('f')),
        root.rmdir(at('d/e')),
        root.rename(at('f'), at('n')),
        root.rename(at('f'), at('g'), 2),
        root.chmod(at('f'), 0o600),
        root.chown(at('f'), 1, 1),
        root.utimens(at('s'), 1n, 1n),
        root.truncate(at('f'), 0),
        root.setxattr(at('f'), 'user.y', 'z'),
        root.removexattr(at('f'), 'user.x'),
        root.fchmod(reader, 0o600),
      ];
      for (const [index, call] of calls.entries()) expect([index, await errnoOf(call)]).toEqual([index, 'EROFS']);
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'O_CREAT of a name that is there opens it for reading; O_EXCL is EEXIST',
    lowers: [{ f: 'x' }],
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('f'), 0o100))).toBe('none');
      expect(await errnoOf(root.open(at('f'), 0o300))).toBe('EEXIST');
      expect(await errnoOf(root.mkdir(at('f')))).toBe('EEXIST');
    },
  },
  {
    name: 'the merged tree is read as with an upper',
    lowers: [
      { a: 'top', gone: whiteout, d: { x: 'x' } },
      { a: 'bottom', gone: 'g', d: { y: 'y' } },
    ],
    async run({ root, at }) {
      expect(await root.names(at())).toEqual(['a', 'd']);
      expect(await root.text(at('a'))).toBe('top');
      expect(await root.names(at('d'))).toEqual(['x', 'y']);
    },
  },
];

conformance('without an upper', rows, { upper: false, lowers: 2 });

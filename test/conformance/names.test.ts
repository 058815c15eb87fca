import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Row, conformance } from './suite.ts';

const LONGEST = 'n'.repeat(255);
const STRANGE = [
  'with space',
  'new\nline',
  'tab\t',
  'back\\slash',
  'comma,colon:equal=',
  '"quotes\'',
  '-dash',
  '*?[x]',
  '\x01\x7f',
  'caf\xc3\xa9',
  'not-utf8-\xff\xfe',
  '\x80',
  '...',
  '.hidden',
  'trailing.',
  '%s%n',
];

const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter(
  (byte) => !'\0/'.includes(byte),
);

const rows: readonly Row[] = [
  {
    name: 'strange names are made, found, listed, renamed and removed, byte for byte',
    lowers: [{}],
    async run({ root, at }) {
      for (const [index, name] of STRANGE.entries()) await root.put(at(name), `content ${index}`);
      expect(await root.names(at())).toEqual([...STRANGE].sort());
    },
    async after({ root, at }) {
      for (const [index, name] of STRANGE.entries()) expect(await root.text(at(name))).toBe(`content ${index}`);
      for (const name of STRANGE) await root.rename(at(name), at(`${name}\xff`));
      expect(await root.names(at())).toEqual(STRANGE.map((name) => `${name}\xff`).sort());
      for (const name of STRANGE) await root.unlink(at(`${name}\xff`));
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'strange names of a lower layer are found, changed and hidden',
    lowers: [Object.fromEntries(STRANGE.map((name) => [name, 'x']))],
    async run({ root, at }) {
      expect(await root.names(at())).toEqual([...STRANGE].sort());
      for (const name of STRANGE.slice(0, 8)) await root.put(at(name), 'changed');
      for (const name of STRANGE.slice(8)) await root.unlink(at(name));
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual(STRANGE.slice(0, 8).sort());
      for (const name of STRANGE.slice(0, 8)) expect(await root.text(at(name))).toBe('changed');
    },
  },
  {
    name: 'a name of 255 bytes is made, changed, renamed and hidden',
    lowers: [{ [LONGEST]: 'lower' }],
    async run({ root, at }) {
      const other = 'm'.repeat(255);
      await root.put(at(other), 'upper');
      expect(await root.text(at(LONGEST))).toBe('lower');
      await root.put(at(LONGEST), 'changed');
      await root.rename(at(other), at('o'.repeat(255)));
      await root.unlink(at(LONGEST));
      await root.mkdir(at(LONGEST));
      await root.put(at(`${LONGEST}/${LONGEST}`), 'x');
    },
    async after({ root, at }) {
      expect(await root.names(at())).toEqual([LONGEST, 'o'.repeat(255)]);
      expect(await root.text(at(`${LONGEST}/${LONGEST}`))).toBe('x');
    },
  },
  {
    name: 'a name of 256 bytes is ENAMETOOLONG, whatever is asked',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const long = 'n'.repeat(256);
      for (const call of [
        root.stat(at(long)),
        root.put(at(long), ''),
        root.mkdir(at(long)),
        root.unlink(at(long)),
        root.symlink('x', at(long)),
        root.link(at('a'), at(long)),
        root.rename(at('a'), at(long)),
        root.mknod(at(long), 0o010644),
      ]) {
        expect(await errnoOf(call)).toBe('ENAMETOOLONG');
      }
    },
  },
  {
    name: 'a path of over 4,095 bytes is ENAMETOOLONG; one component at a time it works',
    lowers: [{}],
    async run({ root, at }) {
      const part = 'p'.repeat(200);
      await root.chdir(at());
      for (let depth = 0; depth < 30; depth++) {
        await root.mkdir(part);
        await root.chdir(part);
      }
      await root.put('f', 'deep');
      expect(await root.text('f')).toBe('deep');
      expect(await errnoOf(root.stat(at(Array(30).fill(part).join('/'))))).toBe('ENAMETOOLONG');
    },
  },
  {
    name: 'a name of each byte alone and within another, but NUL and /, in lower and upper',
    lowers: [Object.fromEntries(BYTES.map((byte) => [`${byte}l`, byte]))],
    async run({ root, at }) {
      for (const byte of BYTES) if (byte !== '.') await root.mknod(at(byte), 0o100644);
      for (const byte of BYTES) await root.put(at(`${byte}l`), `${byte}${byte}`);
    },
    async after({ root, at }) {
      const names = BYTES.flatMap((byte) => (byte === '.' ? [`${byte}l`] : [byte, `${byte}l`]));
      expect(await root.names(at())).toEqual(names.sort());
      for (const byte of BYTES) expect(await root.text(at(`${byte}l`))).toBe(`${byte}${byte}`);
    },
  },
  {
    name: 'a path of 4,095 bytes leads to its file, one of 4,096 is ENAMETOOLONG',
    lowers: [{}],
    async run({ root, at }) {
      const part = 'p'.repeat(99);
      let path = '.';
      await root.chdir(at());
      // The last name fills what is left of the 4,095 bytes.
      while (path.length + 100 < 4_095 - 1) {
        path += `/${part}`;
        await root.mkdir(path);
      }
      const file = `${path}/${'f'.repeat(4_095 - 1 - path.length)}`;
      expect(file).toHaveLength(4_095);
      await root.put(file, 'far');
      expect(await root.text(file)).toBe('far');
      expect(await errnoOf(root.stat(`${file}x`))).toBe('ENAMETOOLONG');
    },
    async after({ root, at }) {
      await root.chdir(at());
      let path = '.';
      for (;;) {
        const [name] = await root.names(path);
        if (name?.startsWith('p') !== true) break;
        path += `/${name}`;
      }
      expect(await root.text(`${path}/${(await root.names(path))[0]}`)).toBe('far');
    },
  },
];

conformance('names', rows);

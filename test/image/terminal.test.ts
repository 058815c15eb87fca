import { describe, expect, test } from 'vitest';

import { printable, printableJson } from '../../cli/printable.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, dockerArchive, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';

// Terminals obey what they are sent: a title set, keys typed in, lines drawn over. So does a log viewer. A program that
// prints what an image or a registry says as it stands hands the terminal over.
const EVIL = '\x1b]0;owned\x07\x1b[2J\x9b31m\r\nlamina: all is well\u202e\u2028\u200b\u{e0041}\x7f';

const OBEYED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\u{e0041}]/u;

const machine = process.arch === 'x64' ? 'amd64' : process.arch;

describe('printable', () => {
  test('leaves nothing that a terminal obeys, and all else', () => {
    expect(printable(EVIL)).not.toMatch(OBEYED);
    expect(printable('a\nb\x1b\u202e\u{e0041}')).toBe('a\\x0ab\\x1b\\u202e\\u{e0041}');
    expect(printable('naïve 日本語 "quoted" \\ 🙂')).toBe('naïve 日本語 "quoted" \\ 🙂');
  });
});

describe('printableJson', () => {
  test('is printable, and parses to the same value', () => {
    const value = { [EVIL]: [EVIL, { deep: EVIL }], plain: 'ü🙂' };
    for (const indent of [undefined, 4]) {
      const text = printableJson(value, indent);
      expect(text).not.toMatch(OBEYED);
      expect(JSON.parse(text)).toEqual(value);
    }
  });
});

describe.skipIf(isRoot())(titled('lamina on an image full of escape sequences', isRoot()), () => {
  const config = { Env: [`A=${EVIL}`], Cmd: [EVIL], Labels: { [EVIL]: EVIL }, User: EVIL, WorkingDir: EVIL };

  test('prints images and image inspect without them', () => {
    const line = new CommandLine();
    line.output(
      ['load'],
      dockerArchive({ layers: [tar({ name: 'f' })], names: ['evil'], architecture: machine, config }),
    );
    const inspected = line.output(['image', 'inspect', 'evil']);
    for (const output of [line.output(['images']), line.output(['images', '--json']), inspected]) {
      expect(output).not.toMatch(OBEYED);
    }
    expect(JSON.parse(inspected)).toMatchObject([
      { Config: { Env: [`A=${EVIL}`], Cmd: [EVIL], Labels: { [EVIL]: EVIL } } },
    ]);
  });

  test('prints no more of them in history, trees, templates, differences and checks', () => {
    const line = new CommandLine();
    const layers = [tar({ name: Buffer.from(`f${EVIL}`).toString('latin1') })];
    line.output(['load'], dockerArchive({ layers, names: ['evil'], architecture: machine, config }));
    const commands = [
      ['history', '--no-trunc', 'evil'],
      ['image', 'tree'],
      ['image', 'inspect', '--format', '{{.Config.Env}} {{json .Config.Labels}} {{println .Config.User}}', 'evil'],
      ['images', '--format', 'json'],
      ['diff', '--format', 'json', 'evil'],
      ['system', 'df', '-v'],
      ['system', 'check'],
    ];
    for (const command of commands)
      expect([command, line.output(command)]).toEqual([command, expect.not.stringMatching(OBEYED)]);
  });

  const evil = (...entries: ArchiveEntry[]): Buffer =>
    dockerArchive({ layers: [tar(...entries)], architecture: machine });
  const bytes = Buffer.from(EVIL).toString('latin1');
  const refused: readonly (readonly [string, Buffer])[] = [
    ['a name of an entry', evil({ name: `../${bytes}` })],
    ['the target of a hard link', evil({ name: 'x', type: '1', linkname: bytes })],
    ['a symlink that is in the way', evil({ name: bytes, type: '2', linkname: '/' }, { name: `${bytes}/x` })],
    ['an extended attribute', evil({ name: 'x', pax: { [`SCHILY.xattr.user.overlay.${bytes}`]: 'y' } })],
    ['an architecture', dockerArchive({ layers: [tar({ name: 'f' })], architecture: EVIL })],
    ['a name', dockerArchive({ layers: [tar({ name: 'f' })], names: [EVIL], architecture: machine })],
    ['what is no JSON, which the parser quotes', tar({ name: 'manifest.json', data: bytes })],
    ['files of an archive that is no image', tar({ name: bytes })],
    ['the name of a layer', tar({ name: 'manifest.json', data: JSON.stringify([{ Config: EVIL, Layers: [] }]) })],
  ];

  test.each(refused)('refuses it in one line without them: %s', (_, archive) => {
    const { status, stdout, stderr } = new CommandLine().call(['load'], archive);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^lamina: cannot load standard input: [^\n]*\n$/);
    expect(stderr).not.toMatch(OBEYED);
  });
});

describe('lamina', () => {
  test('knows no command of the name of an inherited member', () => {
    const { status, stderr } = new CommandLine().call(['constructor']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/unknown command 'constructor'/);
  });
});

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { listLines } from '../../cli/table.ts';
import { Template } from '../../cli/template.ts';
import { globOf } from '../../runner/image/filters.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, type ImageMaking, sha256, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { run } from './ground.ts';

describe('Template', () => {
  const data = {
    Id: 'sha256:abc',
    Names: ['a:1', 'b:2'],
    Empty: [],
    Config: { Labels: { 'a.b': 'c' }, User: '' },
    Size: 12,
    Evil: '\x1b]0;x\x07\n',
  };
  const cases: readonly (readonly [template: string, text: string])[] = [
    ['plain', 'plain'],
    ['{{.Id}} {{ .Size }}', 'sha256:abc 12'],
    ['{{json .}}', JSON.stringify({ ...data, Evil: 'EVIL' }).replace('EVIL', '\\u001b]0;x\\u0007\\n')],
    ['{{json .Config.Labels}}', '{"a.b":"c"}'],
    ['{{index .Config.Labels "a.b"}}|{{index .Names 1}}', 'c|b:2'],
    ['{{.Names}} {{len .Names}}', '[a:1 b:2] 2'],
    ['{{range .Names}}<{{.}}>{{end}}', '<a:1><b:2>'],
    ['{{range .Empty}}x{{else}}none{{end}}', 'none'],
    ['{{if .Config.User}}user{{else}}nobody{{end}}', 'nobody'],
    ['{{with .Config}}{{index .Labels "a.b"}}{{end}}', 'c'],
    ['{{range .Names}}{{$.Size}}{{end}}', '1212'],
    ['{{join .Names ","}} {{upper "x"}} {{.Id | printf "%.6s"}}', 'a:1,b:2 X sha256'],
    ['{{printf "%5s|%-4s|%q|%d" "a" "b" "c" .Size}}', '    a|b   |"c"|12'],
    ['{{if eq .Size 12}}twelve{{end}}', 'twelve'],
    ['a {{- .Size -}} b', 'a12b'],
    ['{{(index .Names 0) | upper}}{{/* nothing */}}', 'A:1'],
    ['{{.Size}}\\t{{.Size}}\\n', '12\t12\n'],
    ['{{.Evil}}', '\\x1b]0;x\\x07\\x0a'],
    ['{{"}}"}}', '}}'],
    ['{{println "a"}}', 'a\n'],
  ];
  test.each(cases)('makes of %s what Go makes of it', (template, text) => {
    expect(new Template(template).execute(data)).toBe(text);
  });

  const mistakes: readonly (readonly [template: string, message: RegExp])[] = [
    ['{{.Nope}}', /there is no field \.Nope; there are Id, Names/],
    ['{{.Size.More}}', /12 has no field \.More/],
    ['{{nope .Id}}', /no function "nope"/],
    ['{{.Id', /not closed by \}\}/],
    ['{{range .Names}}', /no \{\{end\}\}/],
    ['{{end}}', /belongs to no block/],
    ['{{}}', /empty/],
    ['{{index .Names 7}}', /out of range/],
    ['{{(.Id}}', /closing parenthesis/],
    ['{{.Id .Size}}', /goes on after its end/],
    ['{{constructor}}', /no function "constructor"/],
    ['{{.constructor}}', /no field \.constructor/],
  ];
  test.each(mistakes)('refuses %s', (template, message) => {
    expect(() => new Template(template).execute(data)).toThrow(message);
  });
});

describe('listLines', () => {
  const rows = [
    { A: 'a', B: 'long' },
    { A: 'bb', B: 's' },
  ];
  const listing = { titles: { A: 'FIRST', B: 'SECOND' }, columns: ['A'] };

  test('prints a table, its own columns, lines and JSON', () => {
    expect(listLines(rows, listing)).toEqual(['FIRST', 'a', 'bb']);
    expect(listLines(rows, listing, 'table')).toEqual(['FIRST', 'a', 'bb']);
    expect(listLines(rows, listing, 'table {{.B}}\\t{{.A}}')).toEqual(['SECOND   FIRST', 'long     a', 's        bb']);
    expect(listLines(rows, listing, '{{.A}}-{{.B}}')).toEqual(['a-long', 'bb-s']);
    expect(listLines(rows, listing, 'json')).toEqual(['{"A":"a","B":"long"}', '{"A":"bb","B":"s"}']);
    expect(listLines([], listing, 'table {{.B}}')).toEqual(['SECOND']);
  });
});

describe('globOf', () => {
  test.each([
    ['a*', 'abc', true],
    ['a*', 'a/b', false],
    ['*/b', 'a/b', true],
    ['a.c', 'abc', false],
    ['a?c', 'abc', true],
    ['[ab]c', 'bc', true],
    ['a[', 'a[', true],
  ])('%s and %s: %s', (pattern, text, matches) => {
    expect(globOf(pattern).test(text)).toBe(matches);
  });
});

const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
const BASE = tar({ name: 'base', data: Buffer.alloc(1 << 20, 'b') });
const one: ImageMaking = {
  layers: [BASE, tar({ name: 'one', data: '1' })],
  names: ['team/one:1', 'team/one:2'],
  architecture,
  config: { Labels: { tier: 'web' }, Env: ['A=1'] },
};
const two: ImageMaking = { layers: [BASE, tar({ name: 'two', data: '22' })], names: ['two:1'], architecture };

/** Bytes on disk. */
function du(path: string): number {
  return Number(run('du', '-s', '--block-size=1', path).split('\t')[0]);
}

describe.skipIf(isRoot())(titled('lamina images, history, image inspect and image tree', isRoot()), () => {
  function line(): CommandLine {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(one, two));
    return program;
  }

  test('images filters and formats', () => {
    const program = line();
    const named = (...filter: string[]): string[] =>
      program
        .output(['images', '--format', '{{.Repository}}:{{.Tag}}', ...filter])
        .trim()
        .split('\n')
        .sort();
    expect(named()).toEqual(['team/one:1', 'team/one:2', 'two:1']);
    expect(named('two')).toEqual(['two:1']);
    expect(named('team/one:2')).toEqual(['team/one:2']);
    expect(named('--filter', 'reference=team/*:1', '--filter', 'reference=tw?')).toEqual(['team/one:1', 'two:1']);
    expect(named('--filter', 'label=tier=web')).toEqual(['team/one:1', 'team/one:2']);
    expect(named('--filter', 'label=tier=db')).toEqual(['']);
    expect(named('--filter', 'dangling=true')).toEqual(['']);
    program.output(['untag', 'two:1']);
    expect(named('--filter', 'dangling=true')).toEqual(['<none>:<none>']);
    expect(program.call(['images', '--filter', 'size=1']).stderr).toMatch(/with one of dangling, reference, label/);
    const rows = program.output(['images', '--format', 'json', '--no-trunc']).trim().split('\n');
    expect(rows.map((row) => JSON.parse(row) as unknown)).toContainEqual(
      expect.objectContaining({
        Repository: 'team/one',
        Tag: '1',
        Size: '1.05MB',
        SharedSize: '1.05MB',
        UniqueSize: '1B',
        Containers: 0,
      }),
    );
  });

  test('image inspect has what docker has, and the sizes of what is shared', () => {
    const program = line();
    const format = '{{.Size}} {{.SharedSize}} {{.UniqueSize}} {{len .RootFS.Layers}} {{index .Config.Env 0}}';
    expect(program.output(['image', 'inspect', '-f', format, 'team/one:1'])).toBe('1048577 1048576 1 2 A=1\n');
    const [image] = JSON.parse(program.output(['image', 'inspect', 'two:1'])) as [
      { GraphDriver: { Data: { UpperDir: string; LowerDir: string } } },
    ];
    const { UpperDir, LowerDir } = image.GraphDriver.Data;
    expect([UpperDir, LowerDir].map((path) => readdirSync(path))).toEqual([['two'], ['base']]);
  });

  test('image tree draws shared layers once', () => {
    const shown = line().output(['image', 'tree']).trim().split('\n');
    expect(shown[0]).toBe(`${sha256(BASE).slice(0, 12)} 1.05MB`);
    expect(shown.slice(1)).toEqual([
      expect.stringMatching(/^├─ [0-9a-f]{12} 1B team\/one:1, team\/one:2$/),
      expect.stringMatching(/^└─ [0-9a-f]{12} 2B two:1$/),
    ]);
  });

  test('history shows steps, the last first, with the sizes of those that made a layer', () => {
    const program = new CommandLine();
    const history = [
      { created: '2020-01-01T00:00:00Z', created_by: 'ADD rootfs', comment: 'c' },
      { created: '2020-01-02T00:00:00Z', created_by: 'ENV A=1', empty_layer: true },
      { created: '2020-01-03T00:00:00Z', created_by: `RUN ${'x'.repeat(60)}` },
    ];
    program.output(['load'], dockerArchive({ ...one, history }));
    const rows = program.output(['history', '--format', '{{.CreatedBy}}|{{.Size}}|{{.Comment}}', 'team/one:1']);
    expect(rows).toBe(`RUN ${'x'.repeat(40)}…|1B|\nENV A=1|0B|\nADD rootfs|1.05MB|c\n`);
    expect(program.output(['history', '-H', 'false', '--format', '{{.CreatedAt}} {{.Size}}', 'team/one:1'])).toBe(
      '2020-01-03T00:00:00Z 1\n2020-01-02T00:00:00Z 0\n2020-01-01T00:00:00Z 1048576\n',
    );
    expect(program.output(['history', '--no-trunc', '-q', 'team/one:1'])).toMatch(
      /^sha256:[0-9a-f]{64}\n<missing>\n<missing>\n$/,
    );
    expect(program.output(['image', 'history', 'team/one:1'])).toMatch(/^IMAGE +CREATED +CREATED BY +SIZE +COMMENT\n/);
  });

  test('two images that share a layer take its space once', () => {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(one));
    const before = du(program.root);
    program.output(['load'], dockerArchive(two));
    // Of the base layer's archive and its tree, a megabyte each, nothing comes again.
    expect(du(program.root) - before).toBeLessThan(1 << 17);
    program.output(['rmi', 'two:1']);
    expect(du(program.root)).toBeLessThanOrEqual(before + (1 << 14));
  });
});

describe.skipIf(isRoot())(titled('lamina image prune, system df and system prune', isRoot()), () => {
  test('image prune asks, and removes what has no name, or all', () => {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(one, two));
    expect(program.output(['image', 'prune', '-f'])).toBe('Total reclaimed space: 0B\n');
    program.output(['untag', 'two:1']);
    expect(program.output(['image', 'prune'], 'n\n')).toMatch(
      /^WARNING! This will remove all dangling images\.\n.*\[y\/N\] $/,
    );
    expect(program.output(['image', 'prune'])).toMatch(/\[y\/N\] $/);
    expect(program.output(['image', 'prune', '-f', '--filter', 'label=tier=web'])).toBe('Total reclaimed space: 0B\n');
    expect(program.output(['image', 'prune'], 'y\n')).toMatch(
      /Deleted Images:\nDeleted: sha256:[0-9a-f]+\nDeleted: sha256:[0-9a-f]+\n\nTotal reclaimed space: /,
    );
    expect(program.output(['image', 'prune', '-a', '-f'])).toMatch(
      /Untagged: team\/one:1\nUntagged: team\/one:2\nDeleted: /,
    );
    expect(readdirSync(join(program.root, 'blobs/sha256'))).toEqual([]);
  });

  test('system df counts layers once, and what could be had back', () => {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(one, two));
    const rows = program.output([
      'system',
      'df',
      '--format',
      '{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}',
    ]);
    expect(rows.split('\n')).toEqual([
      'Images|2|0|1.05MB|1.05MB (100%)',
      expect.stringMatching(/^Archives\|7\|0\|1\.0\dMB\|1\.0\dMB \(100%\)$/),
      'Containers|0|0|0B|0B',
      'Left over|0|0|0B|0B',
      '',
    ]);
    expect(program.output(['system', 'df'])).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +2 /);
    expect(program.output(['system', 'df', '-v'])).toMatch(/^two +1 +[0-9a-f]{12} +N\/A +1.05MB +1.05MB +2B +0$/m);
  });

  test('system prune removes what killed processes left, and by --all every image', () => {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(one, two));
    const left = Buffer.from('left over');
    writeFileSync(join(program.root, 'blobs/sha256', sha256(left)), left, { mode: 0o400 });
    mkdirSync(join(program.root, 'layers', 'a'.repeat(64)));
    expect(program.output(['system', 'df'])).toMatch(/^Left over +2 +0 +9B +9B \(100%\)$/m);
    expect(program.output(['system', 'prune', '-f'])).toBe('Total reclaimed space: 9B\n');
    expect(program.output(['system', 'check'])).toMatch(/: clean \(2 images, 7 blobs, 3 layers, 0 containers\)$/m);
    expect(program.output(['system', 'prune', '-a', '-f'])).toMatch(/^Deleted Images:\n/);
    expect(program.output(['system', 'check'])).toMatch(/: clean \(0 images, 0 blobs, 0 layers, 0 containers\)$/m);
  });
});

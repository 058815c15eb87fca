import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type Layer } from '../../runner/demo/image.ts';
import {
  firstMissing,
  has,
  hasFuseDevice,
  hasFuseNative,
  hasUserNamespaces,
  isRoot,
  titled,
} from '../support/requirements.ts';
import { Lamina, type User, makeUser, recipe, removeUser } from './lamina.ts';

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'data/a', content: 'a\n' },
    { type: 'file', name: 'data/b', content: 'b\n' },
    { type: 'file', name: 'data/owned', content: 'owned\n', mode: 0o640 },
    { type: 'file', name: 'old/inner/c', content: 'c\n' },
    { type: 'file', name: 'replaced/below', content: 'below\n' },
  ],
};

/** What a layer can be asked to say, but for owners. */
const CHANGE = [
  'cd /data; rm a; mv b moved; echo more >>owned; chmod 4750 owned; echo new >new; ln new linked; ln -s new symlink',
  'mkfifo -m 620 fifo; mkdir -m 1777 dir; touch -d 2001-02-03T04:05:06 dir/dated; mv /old /renamed',
  'rm -r /replaced; mkdir /replaced; echo above >/replaced/above',
].join('\n');
const SHOW =
  'cd /; for f in data data/* data/dir/* renamed/inner/c replaced replaced/*; do stat -c "%n %F %a %u:%g %h %Y" $f; done; cat data/owned data/linked renamed/inner/c; ls /';

const noUsers = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('setpriv'));
const START = 730_000_000;

/** What `tar -tv` shows of the topmost layer of an image: type and mode, owner, name. */
function topLayer(archive: string): string[] {
  const manifest = execFileSync('tar', ['-xOf', archive, 'manifest.json'], { encoding: 'utf8' });
  const [{ Layers }] = JSON.parse(manifest) as [{ Layers: string[] }];
  const script = 'tar -xOf "$0" "$1" | tar -tv --numeric-owner';
  const listed = execFileSync('sh', ['-c', script, archive, Layers.at(-1) ?? ''], { encoding: 'utf8' });
  return [...listed.matchAll(/^(\S+) (\S+) .*\d\d:\d\d (.*)$/gm)].map((match) => match.slice(1).join(' ')).sort();
}

/** What is in a layer of these changes, whoever made it. */
const EXPECTED = [
  '---------- 0/0 .wh.old',
  '---------- 0/0 data/.wh.a',
  '---------- 0/0 data/.wh.b',
  '---------- 0/0 replaced/.wh..wh..opq',
  '-rw-r--r-- 0/0 data/dir/dated',
  '-rw-r--r-- 0/0 data/linked',
  '-rw-r--r-- 0/0 data/moved',
  '-rw-r--r-- 0/0 renamed/inner/c',
  '-rw-r--r-- 0/0 replaced/above',
  // The image's owner, also where no such id can be given to a file.
  '-rwsr-x--- 1000/50 data/owned',
  'drwxr-xr-x 0/0 ./',
  'drwxr-xr-x 0/0 data/',
  'drwxr-xr-x 0/0 renamed/',
  'drwxr-xr-x 0/0 renamed/inner/',
  'drwxr-xr-x 0/0 replaced/',
  'drwxrwxrwt 0/0 data/dir/',
  'hrw-r--r-- 0/0 data/new link to data/linked',
  'lrwxrwxrwx 0/0 data/symlink -> new',
  'prw--w---- 0/0 data/fifo',
];

describe.skipIf(noUsers)(titled('lamina commit of an ordinary user', noUsers), () => {
  let directory: string;

  // An image with a file of another owner, as only root makes it.
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-saved-'));
    chmodSync(directory, 0o777);
    const lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
    const change = 'chown 1000:50 /data/owned; chmod 2750 /data/owned';
    for (const args of [
      ['run', '--name', 'c', 'tiny', 'sh', '-c', change],
      ['commit', 'c', 'owned:1'],
      ['save', '-o', join(directory, 'owned.tar'), 'owned:1'],
    ]) {
      expect((await lamina.call(args)).code).toBe(0);
    }
    await lamina.close();
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  for (const backend of ['device', 'fuse-native'] as const) {
    for (const [ids, range, unmet] of [
      ['subordinate ids', { start: START, count: 65_536 }, has('newuidmap')],
      ['a single id', undefined, undefined],
    ] as const) {
      const missing = firstMissing(unmet, backend === 'device' ? undefined : hasFuseNative());
      describe.skipIf(missing)(titled(`with ${ids}, by ${backend}`, missing), () => {
        let user: User;
        let lamina: Lamina;

        beforeAll(() => {
          user = makeUser(range === undefined ? 'lamina-commit1' : 'lamina-commit', range);
          lamina = new Lamina(user);
        });

        afterAll(async () => {
          await lamina.close();
          removeUser(user.name);
        });

        test('makes an image that shows what the container showed, and has no owner of outside', async () => {
          const run = ['run', '--backend', backend];
          expect((await lamina.call(['load', '-q', '-i', join(directory, 'owned.tar')])).code).toBe(0);
          const changed = await lamina.call([...run, '--name', 'c', 'owned:1', 'sh', '-c', `${CHANGE}\n${SHOW}`]);
          expect(changed.code, changed.stderr).toBe(0);
          const committed = await lamina.call(['commit', '-q', 'c', 'made:1']);
          expect(committed).toMatchObject({ code: 0, stderr: '' });
          const shown = await lamina.call([...run, '--rm', 'made:1', 'sh', '-c', SHOW]);
          expect(shown.stdout).toBe(changed.stdout);
          const archive = join(directory, `${user.name}-${backend}.tar`);
          expect(await lamina.call(['save', '-o', archive, 'made:1'])).toMatchObject({ code: 0, stderr: '' });
          expect(topLayer(archive)).toEqual(EXPECTED);
        });
      });
    }
  }
});

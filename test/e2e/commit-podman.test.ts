import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { Lamina, recipe } from '../container/lamina.ts';
import { run, snapshot, temporary } from '../image/ground.ts';
import { Podman } from '../image/podman.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), has('podman'), has('skopeo'));

const SCRIPT = [
  'cd /srv && mv tree moved && echo changed >> moved/a/file && rm moved/gone && mkdir tree && echo anew > tree/file',
  'ln moved/a/file hard && mkfifo fifo && ln -s nowhere link && chmod 4711 kept && mkdir -p deep/er && echo x > deep/er/x',
  'rm -r replaced && echo file > replaced && rm other && mkdir other && rm -r again && mkdir again && echo y > again/y',
].join(' && ');

describe.skipIf(missing)(titled('an image that lamina committed', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    const file = (name: string) => ({ type: 'file', name, content: name }) as const;
    const directories = ['srv', 'srv/tree', 'srv/tree/a', 'srv/replaced', 'srv/again'];
    const files = ['tree/a/file', 'tree/gone', 'tree/file', 'kept', 'replaced/x', 'other', 'again/old'];
    const entries = [
      ...directories.map((name) => ({ type: 'directory', name }) as const),
      ...files.map((name) => file(`srv/${name}`)),
    ];
    await lamina.load(await recipe('base', [{ title: 'files', entries }]));
  }, 120_000);

  afterAll(() => lamina.close());

  test('shows in podman, entry by entry, what it shows in lamina', async () => {
    const ran = await lamina.call(['run', '--name', 'made', 'base', '/bin/sh', '-c', SCRIPT]);
    expect(ran).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await lamina.call(['commit', 'made', 'made:1'])).code).toBe(0);
    const base = temporary();
    const archive = join(base, 'made.tar');
    const copied = join(base, 'tree');
    mkdirSync(copied);
    expect((await lamina.call(['save', '-o', archive, 'made:1'])).code).toBe(0);
    const podman = new Podman();
    podman.call('load', '-q', '-i', archive);
    const container = podman.call('create', 'made:1', '/bin/sh').trim();
    podman.call('export', '-o', join(base, 'podman.tar'), container);
    run('tar', '-xf', join(base, 'podman.tar'), '-C', copied, 'srv');
    const theirs = snapshot(join(copied, 'srv'), false);

    const own = join(base, 'own');
    mkdirSync(own);
    expect((await lamina.call(['run', '--name', 'shown', 'made:1', '/bin/sh', '-c', 'true'])).code).toBe(0);
    expect((await lamina.call(['export', '-o', join(base, 'own.tar'), 'shown'])).code).toBe(0);
    run('tar', '-xf', join(base, 'own.tar'), '-C', own, 'srv');
    const ours = snapshot(join(own, 'srv'), false);
    expect(ours.map((line) => line.split(' ')[0])).toContain('moved/a/file');
    expect(ours.map((line) => line.split(' ')[0])).not.toContain('moved/gone');
    expect(theirs).toEqual(ours);
  }, 120_000);
});

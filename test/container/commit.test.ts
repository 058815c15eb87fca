import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, extraProgram, recipe, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
}

interface Inspected {
  readonly Id: string;
  readonly Created: string;
  readonly Author: string;
  readonly Config: Readonly<Record<string, unknown>>;
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly History: readonly Readonly<Record<string, string>>[];
}

describe.skipIf(missing)(titled('lamina commit', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    const files = [
      { type: 'directory', name: 'srv' },
      { type: 'directory', name: 'srv/old' },
      { type: 'file', name: 'srv/old/kept', content: Buffer.from('kept') },
      { type: 'file', name: 'srv/gone', content: Buffer.from('gone') },
    ] as const;
    await lamina.load(
      await recipe('base', [extraProgram('sleep'), { title: 'files', entries: files }], { Labels: { of: 'base' } }),
    );
  }, 120_000);

  afterAll(() => lamina.close());

  const inspect = async (name: string): Promise<Inspected> => {
    const { stdout } = await lamina.call(['image', 'inspect', name]);
    const [image] = JSON.parse(stdout) as Inspected[];
    if (image === undefined) throw new Error(`no image ${name}`);
    return image;
  };

  const commit = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await lamina.call(['commit', ...args]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trim();
  };

  const make = async (name: string, script: string, ...options: readonly string[]): Promise<void> => {
    const { code, stderr } = await lamina.call(['run', '--name', name, ...options, 'base', '/bin/sh', '-c', script]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  };

  /** The manifest of an image, by the index of the store. */
  const manifestOf = (tag: string): { readonly layers: readonly Descriptor[]; readonly mediaType: string } => {
    const read = (path: string): unknown => JSON.parse(readFileSync(join(lamina.root, path), 'utf8'));
    const { manifests } = read('index.json') as {
      readonly manifests: readonly (Descriptor & { readonly annotations?: Readonly<Record<string, string>> })[];
    };
    const entry = manifests.find((one) => one.annotations?.['org.opencontainers.image.ref.name']?.endsWith(`/${tag}`));
    return read(`blobs/sha256/${entry?.digest.slice(7) ?? ''}`) as ReturnType<typeof manifestOf>;
  };

  test('makes an image that shows what the container showed, on the shared layers of its parent', async () => {
    await make('web', 'echo new > /srv/new; rm /srv/gone; mv /srv/old /srv/moved; echo more >> /srv/moved/kept');
    const id = await commit('-a', 'Ann <ann@example.org>', '-m', 'a note', 'web', 'web:1');
    const script = 'cd /srv && for f in * */*; do echo $f; done; cat new moved/kept';
    expect(await lamina.output('web:1', '/bin/sh', '-c', script)).toBe('moved\nnew\nmoved/kept\nnew\nkeptmore\n');
    const [parent, image] = [await inspect('base'), await inspect('web:1')];
    expect(image.Id).toBe(id);
    expect(image.Author).toBe('Ann <ann@example.org>');
    expect(image.RootFS.Layers.slice(0, -1)).toEqual(parent.RootFS.Layers);
    expect(image.History.at(-1)).toMatchObject({ comment: 'a note' });
    expect(image.History.at(-1)?.['created_by']).toContain('/bin/sh -c echo new');
    expect(manifestOf('web:1').layers.slice(0, -1)).toEqual(manifestOf('base:latest').layers);
  });

  test('starts what the container started, with its environment and the changes made to that', async () => {
    await make('process', 'echo x > /srv/p', '-e', 'GIVEN=1', '-w', '/srv');
    await commit(
      '-c',
      'ENV MORE=$GIVEN$GIVEN',
      '-c',
      'CMD ["/bin/sh","-c","echo $MORE in $PWD"]',
      'process',
      'process:1',
    );
    expect((await lamina.call(['run', '--rm', 'process:1'])).stdout).toBe('11 in /srv\n');
    const { Config } = await inspect('process:1');
    expect(Config).toMatchObject({
      Labels: { of: 'base' },
      WorkingDir: '/srv',
      Env: ['PATH=/bin', 'GIVEN=1', 'MORE=11'],
    });
  });

  test('gives the same layer, and with SOURCE_DATE_EPOCH the same image, for the same upper', async () => {
    await make('same', 'echo a > /srv/a; mkdir /srv/b; echo c > /srv/b/c');
    await commit('same', 'same:1');
    await commit('same', 'same:2');
    const layers = [(await inspect('same:1')).RootFS.Layers, (await inspect('same:2')).RootFS.Layers];
    expect(layers[0]).toEqual(layers[1]);
    const env = { SOURCE_DATE_EPOCH: '1000000000' };
    const dated = [await lamina.call(['commit', 'same'], { env }), await lamina.call(['commit', 'same'], { env })];
    expect(dated[0]).toEqual(dated[1]);
    const image = await inspect(dated[0]?.stdout.trim() ?? '');
    expect(image.Created).toBe('2001-09-09T01:46:40.000Z');
    const times = await lamina.output(
      image.Id,
      '/bin/sh',
      '-c',
      'cd /srv; for f in a b b/c; do [ $f -nt /proc/1 ] && echo $f; done; true',
    );
    expect(times).toBe('');
  });

  test('never has the files of the init layer in its layer', async () => {
    await make('init', 'echo x > /srv/only');
    await commit('init', 'init:1');
    const { layers } = manifestOf('init:1');
    const path = join(lamina.root, 'blobs/sha256', layers.at(-1)?.digest.slice(7) ?? '');
    expect(spawnSync('tar', ['-tf', path], { encoding: 'utf8' }).stdout).toBe('srv/\nsrv/only\n');
  });

  test.each(['gzip', 'zstd'] as const)(
    'packs the layer with %s where asked to, and writes its type',
    async (compression) => {
      const container = `packed-${compression}`;
      await make(container, 'echo packed > /srv/packed');
      await commit('--compression', compression, container, `${container}:1`);
      expect(manifestOf(`${container}:1`).layers.at(-1)?.mediaType).toBe(
        `application/vnd.oci.image.layer.v1.tar+${compression}`,
      );
      expect(await lamina.output(`${container}:1`, '/bin/sh', '-c', 'cat /srv/packed')).toBe('packed\n');
      expect((await lamina.call(['system', 'check'])).code).toBe(0);
    },
  );

  test('writes docker’s manifest where asked to, in which all layers bear docker’s types', async () => {
    await make('docker', 'echo d > /srv/d');
    await commit('-f', 'docker', '--compression', 'gzip', 'docker', 'docker:1');
    const { mediaType, layers } = manifestOf('docker:1');
    expect(mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
    expect(new Set(layers.map((layer) => layer.mediaType.replace(/\.gzip$/, '')))).toEqual(
      new Set(['application/vnd.docker.image.rootfs.diff.tar']),
    );
    const refused = await lamina.call(['commit', '-f', 'docker', '--compression', 'zstd', 'docker']);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("docker's format knows no zstd") as string,
    });
  });

  test('commits on top of a commit, and after the container is gone the image stays', async () => {
    await make('first', 'echo 1 > /srv/one');
    await commit('first', 'grown:1');
    await lamina.call(['run', '--name', 'second', 'grown:1', '/bin/sh', '-c', 'echo 2 > /srv/two']);
    await commit('second', 'grown:2');
    await lamina.call(['rm', 'first', 'second']);
    expect(await lamina.output('grown:2', '/bin/sh', '-c', 'cat /srv/one /srv/two')).toBe('1\n2\n');
    const [one, two] = [await inspect('grown:1'), await inspect('grown:2')];
    expect(two.RootFS.Layers.slice(0, -1)).toEqual(one.RootFS.Layers);
  });

  test.each([
    [['nobody', 'x'], /no container "nobody"/],
    [['errors', 'a/UPPER'], /image name "a\/UPPER" is not valid/],
    [['-c', 'RUN x', 'errors'], /none of the instructions/],
    [['errors', `x@sha256:${'0'.repeat(64)}`], /has a digest/],
  ])('%j fails with one line that says why, and leaves nothing', async (args, message) => {
    if (!(await lamina.call(['ps', '-a'])).stdout.includes('errors')) await make('errors', 'true');
    const before = (await lamina.call(['images', '-aq'])).stdout;
    const { code, stdout, stderr } = await lamina.call(['commit', ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect((await lamina.call(['images', '-aq'])).stdout).toBe(before);
  });

  test('has a running container stand still meanwhile, and go on afterwards', async () => {
    const script = 'echo ready; while :; do echo x >> /srv/a; echo x >> /srv/b; done';
    const child = lamina.start(['run', '--name', 'busy', 'base', '/bin/sh', '-c', script]);
    const end = ended(child);
    await wrote(child, 'ready');
    await commit('busy', 'busy:1');
    const count =
      'read_lines() { n=0; while read -r l; do n=$((n+1)); done < $1; echo $n; }; read_lines /srv/a; read_lines /srv/b';
    const [a = 0, b = 0] = (await lamina.output('busy:1', '/bin/sh', '-c', count)).split('\n').map(Number);
    // No file is behind the other by more than the one step at which they stood still.
    expect(a - b === 0 || a - b === 1, `${a} ${b}`).toBe(true);
    expect(a).toBeGreaterThan(0);
    const sizeOf = (): number => statSync(join(upperOf('busy'), 'srv/a')).size;
    const stopped = sizeOf();
    for (let wait = 0; sizeOf() === stopped && wait < 500; wait++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(sizeOf()).toBeGreaterThan(stopped);
    await lamina.call(['rm', '-f', 'busy']);
    await end;
  });

  test('lets the container go on when it is killed in the middle', async () => {
    const child = lamina.start([
      'run',
      '--name',
      'victim',
      'base',
      '/bin/sh',
      '-c',
      'echo ready; while :; do echo x >> /srv/a; done',
    ]);
    const end = ended(child);
    await wrote(child, 'ready');
    const sizeOf = (): number => statSync(join(upperOf('victim'), 'srv/a')).size;
    for (const delay of [150, 250, 350, 450]) {
      const committing = lamina.start(['commit', 'victim', 'victim:1']);
      setTimeout(() => committing.kill('SIGKILL'), delay);
      await ended(committing);
      const size = sizeOf();
      for (let wait = 0; sizeOf() === size && wait < 500; wait++)
        await new Promise((resolve) => setTimeout(resolve, 10));
      expect(sizeOf(), `killed after ${delay} ms`).toBeGreaterThan(size);
    }
    await lamina.call(['rm', '-f', 'victim']);
    await end;
    expect((await lamina.call(['system', 'check'])).code).toBe(0);
  });

  test('commits a running container without stopping it where that is asked for', async () => {
    const child = lamina.start([
      'run',
      '--name',
      'free',
      'base',
      '/bin/sh',
      '-c',
      'echo y > /srv/y; echo ready; sleep 1000',
    ]);
    const end = ended(child);
    await wrote(child, 'ready');
    await commit('--pause=false', 'free', 'free:1');
    expect(await lamina.output('free:1', '/bin/sh', '-c', 'cat /srv/y')).toBe('y\n');
    await lamina.call(['rm', '-f', 'free']);
    await end;
  });

  test('killed at any moment it leaves the image whole or not at all, and nothing half in the store', async () => {
    await make('killed', 'i=0; while [ $i -lt 300 ]; do echo $i > /srv/f$i; i=$((i+1)); done');
    for (let at = 1; at <= 20; at++) {
      const committing = lamina.start(['commit', 'killed', `killed:${at}`]);
      setTimeout(() => committing.kill('SIGKILL'), 60 + at * 25);
      const { code } = await ended(committing);
      const there = await lamina.call(['image', 'inspect', `killed:${at}`]);
      if (code === 0) expect(there.code).toBe(0);
      expect(readdirSync(join(lamina.root, 'tmp')).length).toBeLessThanOrEqual(0);
      if (there.code === 0) {
        expect(await lamina.output(`killed:${at}`, '/bin/sh', '-c', 'cat /srv/f299')).toBe('299\n');
        await lamina.call(['rmi', `killed:${at}`]);
      }
    }
    expect((await lamina.call(['system', 'check'])).code).toBe(0);
  }, 180_000);

  function upperOf(name: string): string {
    const containers = join(lamina.root, 'containers');
    const found = readdirSync(containers).find((entry) => {
      if (!/^[0-9a-f]{64}$/.test(entry)) return false;
      const config = JSON.parse(readFileSync(join(containers, entry, 'config.json'), 'utf8')) as {
        readonly name: string;
      };
      return config.name === name;
    });
    return join(containers, found ?? 'none', 'upper');
  }
});

const noMkfs = firstMissing(missing, has('mkfs.ext4'));

describe.skipIf(noMkfs)(titled('lamina commit on a full disk', noMkfs), () => {
  test('fails in one line, and leaves the store as it was', async () => {
    const base = mkdtempSync(join(tmpdir(), 'lamina-full-'));
    const mounted = join(base, 'disk');
    mkdirSync(mounted);
    const call = (...command: readonly [string, ...string[]]): void => {
      const { status, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
    };
    call('mount', '-t', 'tmpfs', '-o', 'size=64m', 'lamina-full', mounted);
    const lamina = new Lamina(undefined, mounted);
    try {
      await lamina.load(await recipe('small'));
      const fill = 'i=0; while [ $i -lt 18 ]; do cat /bin/* > /big$i 2>/dev/null || break; i=$((i+1)); done; true';
      await lamina.call(['run', '--name', 'full', 'small', '/bin/sh', '-c', fill]);
      const before = (await lamina.call(['images', '-a'])).stdout;
      const { code, stdout, stderr } = await lamina.call(['commit', 'full', 'full:1']);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^lamina: cannot commit container full: .*(ENOSPC|no space left)/i);
      expect((await lamina.call(['images', '-a'])).stdout).toBe(before);
      expect((await lamina.call(['rm', 'full'])).code).toBe(0);
      expect((await lamina.call(['system', 'check'])).code).toBe(0);
    } finally {
      await lamina.close();
      call('umount', mounted);
      rmSync(base, { recursive: true });
    }
  });
});

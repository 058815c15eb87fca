import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, temporary } from '../image/ground.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, recipe, wrote } from './lamina.ts';

const LONG = { timeout: 60_000 };
const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('lamina run of directories', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });
  afterAll(() => lamina.close());

  test('--layer merges them, the first the topmost, and --rootfs takes one; none is changed', LONG, async () => {
    const here = temporary();
    for (const name of ['a', 'b', 'base']) mkdirSync(join(here, name));
    writeFileSync(join(here, 'a/f'), 'a\n');
    writeFileSync(join(here, 'b/f'), 'b\n');
    writeFileSync(join(here, 'b/g'), 'g\n');
    const archive = join(here, 'base.tar');
    await lamina.call(['run', '--name', 'source', 'tiny', 'true']);
    await lamina.call(['export', '-o', archive, 'source']);
    run('tar', '-xpf', archive, '-C', join(here, 'base'));
    const layers = ['a', 'b', 'base'].flatMap((name) => ['--layer', join(here, name)]);
    const script = 'cat /f /g; echo changed >/g; rm /f';
    const merged = await lamina.call(['run', '--name', 'merged', ...layers, 'sh', '-c', script]);
    expect(merged).toEqual({ code: 0, stdout: 'a\ng\n', stderr: '' });
    expect(readFileSync(join(here, 'b/g'), 'utf8')).toBe('g\n');
    expect(readdirSync(join(here, 'a'))).toEqual(['f']);
    expect((await lamina.call(['diff', 'merged'])).stdout).toBe('D /f\nC /g\n');
    const change = await lamina.call(['inspect', '--format', '{{.State.RootChange}}', 'merged']);
    expect(change.stdout).toMatch(/^(?:pivot_root|move)\n$/);
    expect((await lamina.call(['commit', 'merged'])).stderr).toMatch(/is made of directories.*"lamina import"/);
    const single = await lamina.call([
      'run',
      '--rm',
      '--rootfs',
      join(here, 'base'),
      'sh',
      '-c',
      'echo x >/x && cat /x',
    ]);
    expect(single).toEqual({ code: 0, stdout: 'x\n', stderr: '' });
    expect(readdirSync(join(here, 'base'))).not.toContain('x');
    const refused = await lamina.call(['run', '--rm', '--layer', join(here, 'none'), 'true']);
    expect([refused.code, refused.stderr]).toEqual([
      125,
      expect.stringMatching(/cannot use \S+ as a layer: .*no such file/i),
    ]);
  });

  const noInit = has('catatonit');

  test.skipIf(noInit)(
    titled('--init reaps what is orphaned, passes signals on and leaves no trace', noInit),
    LONG,
    async () => {
      const script = 'cat /proc/1/comm; (sleep 0.1 &) ; sleep 0.4; for p in /proc/[0-9]*; do cat $p/comm; done; exit 7';
      const reaped = await lamina.call(['run', '--init', '--name', 'inited', 'tiny', 'sh', '-c', script]);
      expect([reaped.code, reaped.stderr]).toEqual([7, '']);
      expect(reaped.stdout).toBe('podman-init\npodman-init\nsh\n');
      expect((await lamina.call(['diff', 'inited'])).stdout).toBe('');
      const child = lamina.start([
        'run',
        '--rm',
        '--init',
        'tiny',
        'sh',
        '-c',
        'trap "echo got; exit 3" TERM; echo up; while :; do sleep 0.1; done',
      ]);
      const end = ended(child);
      await wrote(child, 'up');
      child.kill('SIGTERM');
      expect(await end).toMatchObject({ code: 3, stdout: 'up\ngot\n' });
      expect(
        (await lamina.call(['run', '--rm', '--init', '--init-path', '/etc/passwd', 'tiny', 'true'])).stderr,
      ).toMatch(/is no statically linked program/);
    },
  );
});

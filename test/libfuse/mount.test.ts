import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hasEnded, Playground, until } from '../fs/playground.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasFuseNative, isRoot, titled } from '../support/requirements.ts';

const LAYERS = ['--lower', 'A', '--lower', 'B', '--upper', 'U', '--work', 'W'];
const OPTIONS = 'lowerdir=A:B,upperdir=U,workdir=W';
const BUNDLED = 'prebuilds/linux-x64/libfuse.so';
const missing = firstMissing(isRoot(), hasFuseDevice(), hasFuseNative());

describe.skipIf(missing !== undefined)(titled('a mount through fuse-native', missing), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  /** Mounts on `m`; answers the daemon's process id. */
  function mount(): number {
    const mounted = ground.lamina('mount', '--backend', 'fuse-native', ...LAYERS, 'm');
    expect(mounted).toEqual({ code: 0, stdout: '', stderr: '' });
    return ground.daemonOf('m');
  }

  async function expectNothingLeft(pid: number): Promise<void> {
    await until('the daemon has ended', () => hasEnded(pid));
    expect(ground.mounted).toEqual([]);
    expect(ground.registered()).toEqual([]);
  }

  test('has libfuse in its process, is listed and counts its requests', () => {
    const pid = mount();
    expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).toMatch(/\/fuse-native\//);
    expect(readdirSync(ground.at('m')).sort()).toEqual(['bottom', 'dir', 'top']);
    expect(ground.registered()[0]).toMatchObject({ alive: true, readOnly: false });
    const stats = JSON.parse(ground.lamina('stats', '--json', 'm').stdout) as { requests: Record<string, number> };
    // Others on this machine may look at it, too.
    expect(stats.requests['OPENDIR']).toBeGreaterThanOrEqual(1);
    expect(stats.requests['GETATTR']).toBeGreaterThanOrEqual(1);
  });

  test('holds no descriptor that a program started by it would inherit', () => {
    const pid = mount();
    const fds = readdirSync(`/proc/${pid}/fdinfo`).filter((fd) => Number(fd) > 2);
    const inherited = fds.filter((fd) => {
      const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
      return (parseInt(flags, 8) & 0o2000000) === 0;
    });
    expect(inherited).toEqual([]);
  });

  test('lists a directory that needs many requests, each name once', () => {
    mkdirSync(ground.at('A/many'));
    const names = Array.from({ length: 3000 }, (_, index) => `a name that takes some room ${index}`);
    for (const name of names) writeFileSync(ground.at('A/many', name), '');
    mount();
    expect(readdirSync(ground.at('m/many')).sort()).toEqual(names.sort());
  });

  test('leaves nothing of an open file in the upper once it is removed', () => {
    mount();
    const shell =
      'exec 3<>m/open; echo text >&3; rm m/open; ls -A U m; stat -L -c "%s bytes, %h links" /proc/self/fd/3';
    const { code, stdout } = ground.run(['sh', '-c', shell]);
    expect(code).toBe(0);
    expect(stdout).not.toContain('fuse_hidden');
    expect(stdout).toContain('5 bytes, 0 links');
  });

  test('serves more clients at once than libfuse keeps threads for, again and again, and ends cleanly', async () => {
    const pid = mount();
    const each = 'for i; do echo $i >m/f$i; cat m/f$i; mv m/f$i m/g$i; rm m/g$i; done';
    const shell = `for round in 1 2 3; do seq 1 200 | xargs -P 24 -n 5 sh -c '${each}' sh; done`;
    const { code, stdout, stderr } = ground.run(['sh', '-c', shell]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const numbers = Array.from({ length: 600 }, (_, index) => (index % 200) + 1);
    expect(
      stdout
        .trim()
        .split('\n')
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(numbers.sort((a, b) => a - b));
    expect(readdirSync(ground.at('m')).sort()).toEqual(['bottom', 'dir', 'top']);
    expect(ground.lamina('umount', 'm')).toMatchObject({ code: 0 });
    await expectNothingLeft(pid);
  });

  describe('ends cleanly, with all that was written in the upper, by', () => {
    const ends: readonly [what: string, end: (pid: number) => void, missing?: string | undefined][] = [
      ['umount', () => expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0, stderr: '' })],
      ['lamina umount', () => expect(ground.lamina('umount', 'm')).toEqual({ code: 0, stdout: '', stderr: '' })],
      [
        'fusermount -u',
        () => expect(ground.run(['fusermount', '-u', 'm'])).toMatchObject({ code: 0 }),
        has('fusermount'),
      ],
      ['SIGTERM', (pid) => process.kill(pid, 'SIGTERM')],
    ];
    for (const [what, end, missingProgram] of ends) {
      test.skipIf(missingProgram !== undefined)(titled(what, missingProgram), async () => {
        const pid = mount();
        writeFileSync(ground.at('m/bottom'), 'changed');
        end(pid);
        await expectNothingLeft(pid);
        expect(readFileSync(ground.at('U/bottom'), 'utf8')).toBe('changed');
        expect(readFileSync(ground.at('B/bottom'), 'utf8')).toBe('bottom');
      });
    }
  });

  test('fuse-lamina -f takes it from -o, and exits with 0 after umount and after SIGTERM', async () => {
    for (const end of ['umount', 'SIGTERM']) {
      const program = [`${DIST}/cli/fuse-lamina`, '-f', '-o', `backend=fuse-native,${OPTIONS}`, 'm'];
      const started = ground.start(program);
      await until('it is mounted', () => ground.mounted.includes('m'));
      // It takes signals once it is listed.
      await until('it is listed', () => ground.registered().length === 1);
      expect(readdirSync(ground.at('m'))).toHaveLength(3);
      if (end === 'umount') expect(ground.run(['umount', 'm']).code).toBe(0);
      else started.child.kill('SIGTERM');
      expect(await started.end).toMatchObject({ code: 0, stdout: '', stderr: '' });
      expect(ground.mounted).toEqual([]);
    }
  });

  test('works with the libfuse that is in the package where the system has none', () => {
    const libraries = ground
      .run(['sh', '-c', "ldconfig -p | sed -n 's/.*libfuse.so.2 .*=> //p'"])
      .stdout.trim()
      .split('\n');
    const hide = libraries.filter((path) => path !== '').map((path) => `mount --bind /dev/null ${path}; `);
    const program = `${DIST}/cli/fuse-lamina -f -o backend=fuse-native,${OPTIONS} m`;
    const look = `until test -e m/top; do sleep 0.02; done; cat m/top; grep -c ${BUNDLED} /proc/$!/maps; umount m; wait $!`;
    const done = ground.run(['unshare', '--mount', 'sh', '-c', `${hide.join('')} ${program} & ${look}`]);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/^top[1-9]/);
  });

  test('LAMINA_BACKEND asks for it where no option does', () => {
    const program = [`${DIST}/cli/fuse-lamina`, '-o', OPTIONS, 'm'];
    expect(ground.run(program, { LAMINA_BACKEND: 'fuse-native' })).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(`/proc/${ground.daemonOf('m')}/maps`, 'utf8')).toContain('fuse-native');
  });

  test('of a name that is no backend is refused, from the option and from the environment', () => {
    const program = [`${DIST}/cli/fuse-lamina`, '-o'];
    const option = ground.run([...program, `backend=nonsense,${OPTIONS}`, 'm']);
    const environment = ground.run([...program, OPTIONS, 'm'], { LAMINA_BACKEND: 'nonsense' });
    expect(option).toMatchObject({ code: 1 });
    expect(option.stderr).toBe('fuse-lamina: backend=nonsense is not one of device, fuse-native\n');
    expect(environment).toMatchObject({ code: 1 });
    expect(environment.stderr).toBe('fuse-lamina: LAMINA_BACKEND=nonsense is not one of device, fuse-native\n');
    expect(ground.mounted).toEqual([]);
  });

  test('that libfuse refuses fails with its reason, and mounts nothing', () => {
    // A device that opens and is not FUSE's, for this command alone.
    const program = `${DIST}/cli/fuse-lamina -o backend=fuse-native,${OPTIONS} m`;
    const refused = ground.run(['unshare', '--mount', 'sh', '-c', `mount --bind /dev/null /dev/fuse && ${program}`]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^fuse-lamina: cannot mount on \S+ through fuse-native: fuse: mount failed: [^\n]+\n$/,
    );
    expect(ground.mounted).toEqual([]);
  });

  test('whose daemon is killed can be cleaned up and mounted again', async () => {
    const pid = mount();
    writeFileSync(ground.at('m/kept'), 'kept');
    process.kill(pid, 'SIGKILL');
    await until('the daemon has ended', () => hasEnded(pid));
    expect(ground.lamina('umount', 'm')).toMatchObject({ code: 0 });
    mount();
    expect(readFileSync(ground.at('m/kept'), 'utf8')).toBe('kept');
    rmSync(ground.at('m/kept'));
  });
});

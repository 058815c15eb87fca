import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

describe.skipIf(cannotMount !== undefined)(titled('mount, in a process of its user,', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  /** Runs a module in a process of its own: the worker's thread belongs to it. */
  function run(body: string): { code: number | null; stdout: string; stderr: string } {
    writeFileSync(
      ground.at('user.mjs'),
      `import { readFileSync, writeFileSync, readdirSync, openSync, closeSync } from 'node:fs';
       import { execFile, execFileSync } from 'node:child_process';
       import { mount, exitNow, toBytes } from ${JSON.stringify(join(DIST, 'fs/index.js'))};
       const overlay = { lowers: ['A', 'B'], upper: 'U', work: 'W' };
       ${body}`,
    );
    return ground.run([process.execPath, 'user.mjs']);
  }

  test('serves its own process’s synchronous calls, and lets it end after unmount', () => {
    const { code, stdout, stderr } = run(`
      const mounted = await mount({ mountpoint: 'm', overlay });
      console.log(mounted.mountpoint === process.cwd() + '/m', mounted.branches.length);
      console.log(readFileSync('m/dir/lower', 'utf8'), execFileSync('cat', ['m/top'], { encoding: 'utf8' }));
      writeFileSync('m/new', 'new');
      console.log(mounted.stats().requests.CREATE);
      await mounted.unmount();
      await mounted.closed;
      await mounted.unmount();
      console.log(readdirSync('m').length);`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toBe('true 3\nlower top\n1\n0\n');
    expect(readFileSync(ground.at('U/new'), 'utf8')).toBe('new');
    expect([ground.mounted, ground.registered()]).toEqual([[], []]);
  });

  test('leaves the umask and the working directory of the process alone', () => {
    const { stdout } = run(`
      process.umask(0o027);
      const mounted = await mount({ mountpoint: 'm', overlay });
      writeFileSync('m/new', 'new');
      writeFileSync('outside', '');
      console.log(process.umask().toString(8), process.cwd() === ${JSON.stringify(ground.path)});
      await mounted.unmount();`);
    expect(stdout).toBe('27 true\n');
    expect(ground.run(['stat', '-c', '%a', 'U/new', 'outside']).stdout).toBe('640\n640\n');
  });

  test('in use is detached by unmount, and closed when it is let go', () => {
    const { code, stdout, stderr } = run(`
      const mounted = await mount({ mountpoint: 'm', overlay });
      const fd = openSync('m/top');
      await mounted.unmount();
      console.log(readdirSync('m').length, readFileSync(fd, 'utf8'));
      closeSync(fd);
      await mounted.closed;
      console.log('closed');`);
    expect([code, stdout, stderr]).toEqual([0, '0 top\nclosed\n', '']);
  });

  test('rejects, with nothing mounted and nothing left running, where a layer is missing', () => {
    const { code, stdout, stderr } = run(`
      await mount({ mountpoint: 'm', overlay: { lowers: ['A', 'none'] } }).catch((error) => console.log(error.message));`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^.*none.*ENOENT.*\n$/);
    expect(ground.mounted).toEqual([]);
  });

  test('that another filesystem was mounted over is not mistaken for it', () => {
    const { code, stdout, stderr } = run(`
      const mounted = await mount({ mountpoint: 'm', overlay });
      execFileSync('mount', ['-t', 'tmpfs', 'none', 'm']);
      await mounted.unmount().catch((error) => console.log(error.message));
      execFileSync('umount', ['m']);
      await mounted.unmount();`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^cannot unmount \S+\/m: tmpfs is mounted over it\n$/);
  });

  test('that was forgotten answers nobody, and writes into no file that gets its descriptor’s number', () => {
    const { code, stdout, stderr } = run(`
      const mounted = await mount({ mountpoint: 'm', overlay });
      mounted.forget();
      writeFileSync('victim', 'untouched');
      const fds = Array.from({ length: 40 }, () => openSync('victim', 'r+'));
      const left = await new Promise((resolve) => execFile('cat', ['m/top'], (error, stdout, stderr) => resolve(stderr)));
      console.log(/^cat: m\\/top: .*(not connected|abort)/.test(left));
      await mounted.closed;
      console.log(readFileSync('victim', 'utf8'));
      mounted.forget();
      execFileSync('umount', ['--lazy', 'm']);
      for (const fd of fds) closeSync(fd);`);
    expect([code, stdout, stderr]).toEqual([0, 'true\nuntouched\n', '']);
  });

  test('can be left by exitNow while others still use it', () => {
    const { code, stdout } = run(`
      const mounted = await mount({ mountpoint: 'm', overlay });
      openSync('m/top');
      await mounted.unmount();
      mounted.forget();
      exitNow(7);`);
    expect([code, stdout]).toEqual([7, '']);
    expect([ground.mounted, ground.registered()]).toEqual([[], []]);
  });
});

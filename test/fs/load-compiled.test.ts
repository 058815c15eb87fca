import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import Module from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST, REPOSITORY } from '../support/paths.ts';
import { isRoot, titled } from '../support/requirements.ts';

const MAIN = 'cli/fuse-lamina.main.js';
const USER = 12_345;

describe('what has been compiled before', () => {
  let base: string;
  let dist: string;
  let home: string;

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'lamina-compiled-'));
    chmodSync(base, 0o755);
    [dist, home] = [join(base, 'dist'), join(base, 'home')];
    cpSync(DIST, dist, { recursive: true, filter: (path) => !path.endsWith('.compiled') });
    symlinkSync(join(REPOSITORY, 'node_modules'), join(base, 'node_modules'));
    mkdirSync(home);
  });

  afterEach(() => rmSync(base, { recursive: true, force: true }));

  function help(user?: number): string {
    const { stdout, stderr } = spawnSync(process.execPath, [join(dist, 'cli/fuse-lamina.js'), '--help'], {
      encoding: 'utf8',
      env: { HOME: home },
      ...(user === undefined ? {} : { uid: user, gid: user }),
    });
    expect(stderr).toBe('');
    return stdout.slice(0, 'Usage'.length);
  }

  const keptIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).sort() : []);

  /** Puts the compiled form of another program in the place of what is kept: who runs it shows itself. */
  function spoil(directory: string): void {
    const source = readFileSync(join(dist, MAIN), 'utf8').replace(/^#!/, '//').replace('Usage', 'USAGE');
    const kept = keptIn(directory).find((name) => name.startsWith(MAIN.replace('/', '_'))) ?? '';
    writeFileSync(join(directory, kept), new Script(Module.wrap(source)).createCachedData());
  }

  test('is kept beside the program by its owner, and serves until the file is another or others may write there', () => {
    const beside = join(dist, '.compiled');
    expect(help()).toBe('Usage');
    const names = keptIn(beside);
    expect(names.filter((name) => name.startsWith('cli_fuse-lamina.main.js-'))).toHaveLength(1);
    expect(statSync(beside).mode & 0o777).toBe(0o755);
    expect(help()).toBe('Usage');
    expect(keptIn(beside)).toEqual(names);
    spoil(beside);
    expect(help()).toBe('USAGE');
    chmodSync(beside, 0o775);
    expect(help()).toBe('Usage');
    chmodSync(beside, 0o755);
    // The same bytes in another file: what was kept of the old one goes.
    cpSync(join(dist, MAIN), join(base, 'again'));
    renameSync(join(base, 'again'), join(dist, MAIN));
    expect(help()).toBe('Usage');
    expect(keptIn(beside)).toHaveLength(names.length);
    expect(keptIn(beside)).not.toEqual(names);
    // Cut short, as nothing that is written here can be: V8 refuses it.
    for (const name of keptIn(beside)) writeFileSync(join(beside, name), 'spoiled');
    expect(help()).toBe('Usage');
  });

  test.skipIf(isRoot())(
    titled('is kept at home by who may not write beside the program, and trusted nobody else', isRoot()),
    () => {
      const own = join(home, '.cache/lamina/compiled');
      expect(help(USER)).toBe('Usage');
      expect(keptIn(own)).toEqual([]);
      chownSync(home, USER, USER);
      expect(help(USER)).toBe('Usage');
      expect(statSync(own)).toMatchObject({ uid: USER, mode: 0o040700 });
      // Of a program that was here before.
      writeFileSync(join(own, 'shared_old.js-1-2-3-v20.0.0-x64'), '');
      utimesSync(join(own, 'shared_old.js-1-2-3-v20.0.0-x64'), 1, 1);
      rmSync(join(own, keptIn(own)[0] ?? ''));
      expect(help(USER)).toBe('Usage');
      expect(keptIn(own).filter((name) => name.startsWith('shared_old'))).toEqual([]);
      spoil(own);
      expect(help(USER)).toBe('USAGE');
      chmodSync(own, 0o755);
      expect(help(USER)).toBe('Usage');
      chmodSync(own, 0o700);
      chownSync(own, USER + 1, USER);
      expect(help(USER)).toBe('Usage');
      // Root has the program's own place, whoever's home it was left.
      chownSync(own, USER, USER);
      expect(help()).toBe('Usage');
      expect(keptIn(join(dist, '.compiled'))).not.toEqual([]);
    },
  );
});

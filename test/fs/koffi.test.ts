import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST, REPOSITORY } from '../support/paths.ts';

/** Writes down what of koffi a process loads. */
const RECORDER = `
  const { appendFileSync } = require('node:fs');
  const { prototype } = require('node:module');
  const { load } = prototype;
  prototype.load = function (path) {
    if (path.includes('koffi')) appendFileSync(process.env.LOADED, path.replace(/.*node_modules./, '') + '\\n');
    return load.call(this, path);
  };`;

describe('koffi', () => {
  let base: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'lamina-native-'));
    writeFileSync(join(base, 'recorder.cjs'), RECORDER);
    writeFileSync(join(base, 'loaded'), '');
    mkdirSync(join(base, 'inner/node_modules'), { recursive: true });
    cpSync(DIST, join(base, 'inner/dist'), { recursive: true });
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  /** Has native code called by a program that finds the packages in these directories. */
  function loadedWith(links: Readonly<Record<string, string>>): string[] {
    for (const [directory, name] of Object.entries(links)) {
      mkdirSync(join(base, directory), { recursive: true });
      symlinkSync(join(REPOSITORY, 'node_modules', name), join(base, directory, name));
    }
    symlinkSync(join(REPOSITORY, 'node_modules/commander'), join(base, 'inner/node_modules/commander'));
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(base, 'inner/dist/cli/lamina.js'), 'mounts', '--json'],
      {
        encoding: 'utf8',
        env: {
          ...process.env,
          XDG_RUNTIME_DIR: base,
          NODE_OPTIONS: `--require ${join(base, 'recorder.cjs')}`,
          LOADED: join(base, 'loaded'),
        },
      },
    );
    expect([status, stderr]).toEqual([0, '']);
    return readFileSync(join(base, 'loaded'), 'utf8').trim().split('\n');
  }

  test('is its binary alone where that lies beside it, as npm installs them', () => {
    const loaded = loadedWith({ 'inner/node_modules': 'koffi' });
    expect(loaded).toEqual([expect.stringMatching(/^@koromix\/koffi-linux-\w+\/(?:linux|musl)_\w+\/koffi\.node$/)]);
  });

  test('that is not there is told of in one line, also where a thread was coming up for a mount', () => {
    const run = [join(base, 'inner/dist/cli/lamina.js'), 'run', '--rm', 'none', 'true'];
    const { status, stderr } = spawnSync(process.execPath, run, {
      encoding: 'utf8',
      env: { ...process.env, XDG_RUNTIME_DIR: base, LAMINA_ROOT: join(base, 'store') },
    });
    expect(stderr).toMatch(/^lamina: Cannot find module 'koffi'[^\n]*npm install --include=optional\n$/);
    expect(status).toBe(125);
  });

  test('is looked for by its own loader where its binary lies elsewhere', () => {
    cpSync(join(REPOSITORY, 'node_modules/koffi'), join(base, 'inner/node_modules/koffi'), { recursive: true });
    const loaded = loadedWith({ node_modules: '@koromix' });
    expect(loaded).toContain('koffi/index.cjs');
    expect(loaded.at(-1)).toMatch(/koffi\.node$/);
  });
});

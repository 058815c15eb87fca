import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

/** Writes down all that a process loads, its threads included. */
const RECORDER = `
  const { appendFileSync } = require('node:fs');
  const { prototype } = require('node:module');
  const { load } = prototype;
  prototype.load = function (path) {
    appendFileSync(process.env.LOADED, path + '\\n');
    return load.call(this, path);
  };`;

interface Loaded {
  /** Names of packages. */
  readonly packages: readonly string[];
  /** Below dist. */
  readonly files: readonly string[];
}

describe.skipIf(missing)(titled('a start loads what it uses and nothing else:', missing), () => {
  let lamina: Lamina;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-start-up-'));
    writeFileSync(join(directory, 'recorder.cjs'), RECORDER);
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true });
  });

  async function loadedBy(...args: string[]): Promise<Loaded> {
    const list = join(directory, 'list');
    rmSync(list, { force: true });
    const env = { NODE_OPTIONS: `--require ${join(directory, 'recorder.cjs')}`, LOADED: list };
    expect(await lamina.call(args, { env })).toMatchObject({ code: 0, stderr: '' });
    const paths = [...new Set(readFileSync(list, 'utf8').split('\n'))];
    const packages = paths.flatMap((path) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
    const files = paths.filter((path) => path.startsWith(`${DIST}/`)).map((path) => path.slice(DIST.length + 1));
    const named = packages.map((name) => name.replace(/^@koromix\/koffi-.*/, 'koffi'));
    return { packages: [...new Set(named)].sort(), files };
  }

  test('run, of a container that is unpacked', async () => {
    const { packages, files } = await loadedBy('run', '--rm', 'tiny', 'true');
    // Neither what unpacks (tar-stream) nor what pulls (undici), nor what either was loaded by.
    expect(packages).toEqual(['koffi']);
    expect(files).toContain('fs/worker.js');
    expect(files.filter((file) => file.includes('layers-'))).toEqual([]);
    expect(files.length).toBeLessThanOrEqual(18);
  });

  test('ps', async () => {
    const { packages, files } = await loadedBy('ps');
    expect(packages).toEqual(['koffi']);
    expect(files.filter((file) => file.includes('run-'))).toEqual([]);
    expect(files.length).toBeLessThanOrEqual(16);
  });

  test('--version', async () => {
    const { packages, files } = await loadedBy('--version');
    expect(packages).toEqual([]);
    expect(files.map((file) => file.replace(/-[^/]*$/, '')).filter((file) => file.startsWith('shared/'))).toEqual([
      'shared/base',
      'shared/rolldown',
      'shared/command',
    ]);
  });
});

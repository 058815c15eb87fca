import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';

import { firstMissing, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, tar } from './archives.ts';
import { evilEntries } from './evil-entries.ts';
import { snapshot, Target, temporary } from './ground.ts';
import { LayerModel } from './layer-model.ts';
import { mergedLines, type Owners } from './merged-view.ts';

// LAMINA_SEED tries other archives and LAMINA_RUNS more of them; without, every run of the tests is the same.
const SEED = Number(process.env['LAMINA_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['LAMINA_RUNS'] ?? 250);

const LOWER: readonly ArchiveEntry[] = [
  { name: './', type: '5', mode: 0o711, uid: 3, mtime: 50 },
  { name: 'a/', type: '5', mode: 0o750, uid: 7, gid: 8, mtime: 77, pax: { 'SCHILY.xattr.user.note': 'below' } },
  { name: 'a/x', data: 'below' },
  { name: 'a/b/c', data: 'deep below' },
  { name: 'b', data: 'below', uid: 7 },
  { name: 'c/d/', type: '5' },
  { name: 'c/link', type: '2', linkname: '../a' },
  { name: 'link', type: '2', linkname: '../outside' },
  { name: 'x', type: '1', linkname: 'b' },
];

const PLAIN: Owners = { base: 0, isSingle: false };

/** What must show, or undefined where the archive is to be refused. */
function expected(entries: readonly ArchiveEntry[], { isSingle }: Owners): string[] | undefined {
  const model = new LayerModel();
  model.apply(LOWER);
  if (!model.apply(entries)) return undefined;
  const lines = model.lines();
  return isSingle ? lines.map((line) => line.replace(/^(\S+ (?:symlink|fifo) \d+) \d+:\d+/, '$1 ?:?')) : lines;
}

const missing = isRoot();

describe.skipIf(missing)(titled('unpackLayer on any archive over a lower layer', missing), () => {
  // An unpacker that follows what an archive has made, or resolves names by itself, changes what is outside; one that
  // takes an overlay's mark, or does whiteouts as they come, shows another tree.
  test('shows what the model shows, refuses what it refuses, and changes nothing outside', async () => {
    const lower = new Target();
    await lower.unpack(tar(...LOWER));
    const outside = join(lower.base, 'outside');
    await fc.assert(
      fc.asyncProperty(evilEntries(outside), async (entries) => {
        const target = new Target();
        const refusal = await target.unpack(tar(...entries), [lower.path]).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(target.outside()).toEqual(target.untouched);
        expect(lower.outside()).toEqual(lower.untouched);
        const wanted = expected(entries, PLAIN);
        if (wanted === undefined) expect(refusal).toBeInstanceOf(Error);
        else {
          expect(refusal).toBeUndefined();
          expect(mergedLines([target.path, lower.path], PLAIN)).toEqual(wanted);
        }
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});

/** A user namespace in which 0 to 65535 are the host's from 100000 on; answers the command that enters it. */
async function mappedNamespace(): Promise<string[]> {
  const holder = spawn('unshare', ['--user', 'sleep', '600'], { stdio: 'ignore' });
  onTestFinished(() => void holder.kill('SIGKILL'));
  const path = `/proc/${holder.pid ?? 0}`;
  const own = readlinkSync('/proc/self/ns/user');
  while (readlinkSync(`${path}/ns/user`) === own) await sleep(5);
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`${path}/${map}`, `0 ${MAPPED.base} 65536\n`);
  return ['nsenter', `--user=${path}/ns/user`, '--setuid', '0', '--setgid', '0'];
}

const MAPPED: Owners = { base: 100_000, isSingle: false };
const SINGLE: Owners = { base: 0, isSingle: true };
const noNamespaces = firstMissing(isRoot(), hasUserNamespaces());

describe.skipIf(noNamespaces)(titled('unpackLayer on any archive without root', noNamespaces), () => {
  const modes: readonly (readonly [string, Owners, () => Promise<string[]> | string[]])[] = [
    ['ids of a range', MAPPED, mappedNamespace],
    ['a single id', SINGLE, (): string[] => ['unshare', '--user', '--map-root-user']],
  ];

  test.each(modes)('shows the same with %s', async (_, owners, enter) => {
    const base = temporary();
    const outside = join(base, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'canary'), 'untouched');
    for (const path of [base, outside, join(outside, 'canary')]) chownSync(path, owners.base, owners.base);
    const before = snapshot(outside);
    const cases = fc.sample(evilEntries(outside), { numRuns: RUNS, seed: SEED + 1 });
    [LOWER, ...cases].forEach((entries, at) => writeFileSync(join(base, `${at}.tar`), tar(...entries)));
    const agent = [
      process.execPath,
      '--import',
      resolve('test/support/typescript.js'),
      resolve('test/image/unpack-agent.ts'),
    ];
    const [file, ...parameters] = [...(await enter()), ...agent, base, String(cases.length + 1)];
    const { status, stdout, stderr } = spawnSync(file, parameters, { encoding: 'utf8', maxBuffer: 2 ** 28 });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [lower, ...refusals] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as string);
    expect(lower).toBe('');
    expect(snapshot(outside)).toEqual(before);
    for (const [at, entries] of cases.entries()) {
      const wanted = expected(entries, owners);
      const shown = refusals[at] === '' ? mergedLines([`${base}/${at + 1}`, `${base}/0`], owners) : undefined;
      expect({ entries, shown, refusal: shown === undefined ? '' : refusals[at] }).toEqual({
        entries,
        shown: wanted,
        refusal: '',
      });
    }
  });
});

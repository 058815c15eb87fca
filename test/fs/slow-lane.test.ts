import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { getPriority } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, Playground, until } from './playground.ts';

// Enough that copying it and reaching the disk takes many times as long as a request.
const SIZE = 256 << 20;
/** A thread that comes up too late does so in one of ten. */
const ROUNDS = Number(process.env['LAMINA_RUNS'] ?? 8);

describe.skipIf(cannotMount !== undefined)(titled('the slow lane', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  /** Nice values of the daemon's threads. */
  function nicenesses(mountpoint: string): Set<number> {
    const tasks = `/proc/${ground.daemonOf(mountpoint)}/task`;
    const stats = readdirSync(tasks).map((thread) => readFileSync(`${tasks}/${thread}/stat`, 'latin1'));
    // The 19th field; the second may hold blanks.
    return new Set(stats.map((stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])));
  }

  const inWorkdir = (): string[] => readdirSync(ground.at('W/work'));

  test('requests about other files are answered while a large file is copied up, and those about it wait', async () => {
    const data = randomBytes(SIZE);
    writeFileSync(ground.at('B/huge'), data);
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
    const writer = ground.start(['sh', '-c', 'printf new | dd of=m/huge conv=notrunc']);
    const second = ground.start(['sh', '-c', 'chmod 600 m/huge']);
    await until('the copy is under way', () => inWorkdir().length > 0);
    writeFileSync(ground.at('m/other'), 'made meanwhile');
    expect(statSync(ground.at('m/huge')).size).toBe(SIZE);
    // It would be gone if those had waited for the copy.
    expect(inWorkdir()).toHaveLength(1);
    expect([await writer.end, await second.end]).toMatchObject([{ code: 0 }, { code: 0 }]);
    data.write('new');
    expect(readFileSync(ground.at('U/huge')).equals(data)).toBe(true);
    expect(statSync(ground.at('U/huge')).mode & 0o777).toBe(0o600);
    expect(inWorkdir()).toEqual([]);
  });

  test('a large file is copied by a thread that lets others have the processor first, a smaller one is not', async () => {
    const own = getPriority(0);
    writeFileSync(ground.at('B/small'), randomBytes(2 << 20));
    writeFileSync(ground.at('B/large'), randomBytes(32 << 20));
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
    expect(await ground.start(['chmod', '600', 'm/small']).end).toMatchObject({ code: 0 });
    expect(nicenesses('m')).toEqual(new Set([own]));
    expect(await ground.start(['chmod', '600', 'm/large']).end).toMatchObject({ code: 0 });
    expect(nicenesses('m')).toEqual(new Set([own, Math.min(own + 10, 19)]));
  });

  test('a mount that ends while its threads come up ends well', async () => {
    for (const name of ['a', 'b']) writeFileSync(ground.at('B', name), randomBytes(2 << 20));
    for (let round = 0; round < ROUNDS; round++) {
      const upper = `upper-${round}`;
      for (const directory of ['u', 'w']) mkdirSync(ground.at(upper, directory), { recursive: true });
      const daemon = ground.startFuseLamina('-f', '-o', `lowerdir=B,upperdir=${upper}/u,workdir=${upper}/w`, 'm');
      await until('it is mounted', () => ground.mounted.includes('m'));
      // Two copies at once have two threads, of which the first may make both.
      for (const { end } of ['a', 'b'].map((name) => ground.start(['chmod', '600', `m/${name}`]))) await end;
      ground.run(['umount', 'm']);
      expect(await daemon.end).toMatchObject({ code: 0, stderr: '' });
    }
  });

  test('fsync answers when the data is on disk', () => {
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
    const fd = openSync(ground.at('m/new'), 'w');
    for (let round = 0; round < 20; round++) {
      appendFileSync(fd, 'line\n');
      fsyncSync(fd);
    }
    closeSync(fd);
    expect(readFileSync(ground.at('U/new'), 'utf8')).toBe('line\n'.repeat(20));
  });
});

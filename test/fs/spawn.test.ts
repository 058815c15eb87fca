import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { ECHILD, ENOENT } from '../../fs/sys/errno.ts';
import { type WaitStatus, reap, spawnProcess } from '../../fs/sys/spawn.ts';

describe('spawnProcess', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lamina-spawn-'));
  const output = join(directory, 'output');

  afterAll(() => rmSync(directory, { recursive: true }));

  /** A shell's end, and what it has written to its descriptor 1. */
  async function shell(script: string): Promise<{ readonly status: WaitStatus; readonly text: string }> {
    writeFileSync(output, '');
    const [input, written] = [openSync('/dev/null', 'r'), openSync(output, 'w')];
    const pid = spawnProcess({
      path: '/bin/sh',
      argv: ['shell', '-c', script],
      env: ['GIVEN=1'],
      files: [input, written, written],
    });
    for (const fd of [input, written]) closeSync(fd);
    expect(pid).toBeGreaterThan(0);
    return { status: await untilEnd(pid), text: readFileSync(output, 'utf8') };
  }

  async function untilEnd(pid: number): Promise<WaitStatus> {
    for (;;) {
      const status = reap(pid);
      if (typeof status === 'object') return status;
      expect(status).toBeUndefined();
      await sleep(5);
    }
  }

  test('tells of the end of a child by its exit code, or by the signal, a real-time one as well', async () => {
    expect((await shell('exit 7')).status).toEqual({ exitCode: 7 });
    expect((await shell('kill -9 $$')).status).toEqual({ signal: 9 });
    expect((await shell('kill -40 $$')).status).toEqual({ signal: 40 });
  });

  test('gives the environment and the files that were named, and no others', async () => {
    const script =
      'echo $0 $GIVEN $HOME; for fd in 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$fd ] && echo $fd; done';
    expect((await shell(script)).text).toBe('shell 1\n');
  });

  test('starts a session, with every signal as it is by default', async () => {
    const ignore = (): void => undefined;
    process.on('SIGUSR1', ignore);
    try {
      // By the shell itself: while it forks, its signals are blocked.
      const status = 'while read -r name mask; do case $name in SigBlk:|SigIgn:) echo "$name\t$mask";; esac; done';
      const script = `read -r stat </proc/$$/stat; set -- $stat; echo $(($1 == $6)); ${status} </proc/$$/status`;
      const { text } = await shell(script);
      expect(text).toBe('1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n');
    } finally {
      process.off('SIGUSR1', ignore);
    }
  });

  test('exchanges the numbers of files', async () => {
    const [first, second] = [join(directory, 'first'), join(directory, 'second')];
    for (const path of [first, second]) writeFileSync(path, '');
    // As many as there are numbers below, so that some of them are each other's.
    const files = Array.from({ length: 40 }, (_, at) => openSync(at % 2 === 0 ? first : second, 'w'));
    const numbers = [...files].reverse();
    const pid = spawnProcess({
      path: '/bin/sh',
      argv: ['sh', '-c', 'echo even >/proc/self/fd/38; echo odd >/proc/self/fd/39'],
      env: [],
      files: numbers,
    });
    for (const fd of files) closeSync(fd);
    expect(await untilEnd(pid)).toEqual({ exitCode: 0 });
    // The last but one was the second of all.
    expect([readFileSync(second, 'utf8'), readFileSync(first, 'utf8')]).toEqual(['even\n', 'odd\n']);
  });

  test('answers why there is no process, and for one that is none of ours', () => {
    const missing = { path: join(directory, 'missing'), argv: ['missing'], env: [], files: [] };
    expect(spawnProcess(missing)).toBe(-ENOENT);
    expect(reap(1)).toBe(-ECHILD);
  });
});

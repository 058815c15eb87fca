import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());
const noPython = has('python3');

describe.skipIf(missing)(titled('standard files of a container that have a name outside', missing), () => {
  let lamina: Lamina;
  let directory: string;
  let path: string;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    directory = mkdtempSync(join(tmpdir(), 'lamina-standard-'));
    path = join(directory, 'file');
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true, force: true });
  });

  beforeEach(() => {
    writeFileSync(path, 'host\n');
    chmodSync(path, 0o600);
  });

  /** A shell's command line around `lamina run --rm`, given as `$@`. */
  function shell(line: string, ...args: string[]) {
    const command = [process.execPath, join(DIST, 'cli/lamina.js'), 'run', '--rm', ...args];
    const { status, stdout, stderr } = spawnSync('sh', ['-c', line, 'sh', ...command], {
      cwd: directory,
      env: { ...process.env, LAMINA_ROOT: lamina.root },
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  }

  test('a file as standard input is read, and neither it nor its mode can be changed', () => {
    const script = 'cat; echo pwned 2>/dev/null > /proc/self/fd/0; chmod u+s /proc/self/fd/0 2>/dev/null; true';
    expect(shell('"$@" < file', '-i', 'tiny', 'sh', '-c', script)).toEqual({ status: 0, stdout: 'host\n', stderr: '' });
    expect(readFileSync(path, 'utf8')).toBe('host\n');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  test('a file as standard output is appended to or truncated as the caller opened it, and keeps its mode', () => {
    // Far more than can be written at once: each piece waits for the one before.
    const script = 'chmod u+s /proc/self/fd/1; head -c 3000000 /dev/zero; echo end';
    expect(shell('"$@" >> file', 'tiny', 'sh', '-c', script)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(path, 'latin1')).toBe(`host\n${'\0'.repeat(3_000_000)}end\n`);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(shell('{ echo before; "$@"; echo after; } > file', 'tiny', 'echo', 'between').status).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe('before\nbetween\nafter\n');
  });

  test('standard output and error in one file keep their order', () => {
    const script = 'for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >&2; done';
    expect(shell('"$@" > file 2>&1', 'tiny', 'sh', '-c', script).status).toBe(0);
    expect(readFileSync(path, 'utf8')).toBe([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `${i}\n${i}\n`).join(''));
  });

  test('a FIFO with a name carries what is written, and keeps its mode', () => {
    const line = 'mkfifo -m 600 fifo; echo typed > fifo & "$@" < fifo; stat -c %a fifo; rm fifo';
    const script = 'cat; chmod u+s /proc/self/fd/0';
    expect(shell(line, '-i', 'tiny', 'sh', '-c', script).stdout).toBe('typed\n600\n');
  });

  test('the end of a command that does not read its input ends the client', () => {
    expect(shell('mkfifo idle; sleep 30 > idle & "$@" < idle; kill $!; rm idle', '-i', 'tiny', 'echo', 'done')).toEqual(
      {
        status: 0,
        stdout: 'done\n',
        stderr: '',
      },
    );
    expect(shell('"$@" < /dev/zero', '-i', 'tiny', 'head', '-c', '3').stdout).toBe('\0\0\0');
  });

  test('output that cannot be written is an error, whatever the command’s own code', () => {
    const outcome = shell('"$@" > /dev/full', 'tiny', 'echo', 'lost');
    expect(outcome).toMatchObject({ status: 125, stderr: expect.stringContaining('standard output') as string });
    expect(outcome.stderr).toContain('ENOSPC');
    // It fails while the container still runs.
    const early = shell('"$@" > /dev/full', 'tiny', 'sh', '-c', 'echo lost; sleep 1');
    expect(early).toMatchObject({ status: 125, stderr: expect.stringContaining('ENOSPC') as string });
  });

  test.skipIf(noPython).each([{ log: [] }, { log: ['--log-driver', 'none'] }])(
    titled('pipes that let nobody wait: the command waits all the same, $log', noPython),
    ({ log }) => {
      const script = `
import os, subprocess, sys, time
def pipe():
    ends = os.pipe()
    for end in ends: os.set_blocking(end, False)
    return ends
(input, given), (taken, output) = pipe(), pipe()
child = subprocess.Popen(sys.argv[1:], stdin=input, stdout=output, stderr=output)
os.close(output)
time.sleep(1)
os.write(given, b"late\\n")
os.close(given)
time.sleep(1)
os.set_blocking(taken, True)
size = sum(len(piece) for piece in iter(lambda: os.read(taken, 65536), b""))
print(child.wait(), size)`;
      const command = 'cat; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2';
      const outcome = shell(`python3 -c '${script}' "$@"`, '-i', ...log, 'tiny', 'sh', '-c', command);
      expect(outcome).toEqual({ status: 0, stdout: '0 600005\n', stderr: '' });
    },
  );

  test('a directory is refused', () => {
    const input = shell('"$@" < .', '-i', 'tiny', 'true');
    expect(input).toMatchObject({ status: 125, stderr: expect.stringContaining('input is a directory') as string });
    const output = shell('"$@" 2>/dev/null 1< .', 'tiny', 'true');
    expect(output.status).toBe(125);
  });

  test('/dev/null is the container’s own', () => {
    const none = openSync('/dev/null', 'r+');
    const args = [join(DIST, 'cli/lamina.js'), 'run', '--rm', '-i', 'tiny', 'sh', '-c', 'readlink /proc/self/fd/0 >&2'];
    const options = { env: { ...process.env, LAMINA_ROOT: lamina.root } };
    const { stderr } = spawnSync(process.execPath, args, { ...options, stdio: [none, none, 'pipe'], encoding: 'utf8' });
    closeSync(none);
    expect(stderr).toBe('/dev/null\n');
  });
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

const SCRIPTS: Layer = {
  title: 'files that cannot be executed',
  entries: [
    { type: 'file', name: 'bin/plain', content: 'no program\n', mode: 0o644 },
    { type: 'file', name: 'bin/garbage', content: 'no program\n', mode: 0o755 },
    { type: 'file', name: 'bin/lost', content: '#!/bin/missing\n', mode: 0o755 },
    { type: 'file', name: 'bin/script', content: '#!/bin/sh\necho script "$@"\n', mode: 0o755 },
  ],
};

// Arguments of `lamina run --rm`, the exit code, what the message says.
const CASES: readonly (readonly [what: string, args: readonly string[], code: number, message: RegExp | ''])[] = [
  ['success', ['tiny', 'true'], 0, ''],
  ['the command’s own code', ['tiny', 'sh', '-c', 'exit 42'], 42, ''],
  ['a command that exits with 125 itself', ['tiny', 'sh', '-c', 'exit 125'], 125, ''],
  ['a command killed by SIGKILL', ['tiny', 'sh', '-c', 'sh -c "kill -9 \\$\\$"'], 137, /Killed/],
  ['SIGKILL from itself, which process 1 ignores', ['tiny', 'sh', '-c', 'kill -9 $$; exit 3'], 3, ''],
  ['a script', ['tiny', 'script'], 0, ''],
  ['a command not in PATH', ['tiny', 'missing'], 127, /"missing": not found/],
  ['a path that is not there', ['tiny', '/bin/missing'], 127, /no such file or directory/],
  ['a script whose interpreter is not there', ['tiny', 'lost'], 127, /interpreter/],
  ['a file that is not executable', ['tiny', '/bin/plain'], 126, /permission denied/],
  ['a file of no known format', ['tiny', '/bin/garbage'], 126, /exec format error.*another architecture/],
  ['a directory', ['tiny', '/bin'], 126, /is a directory/],
  ['a working directory that is not there', ['-w', '/missing', 'tiny', 'true'], 126, /"\/missing"/],
  ['a working directory that is a file', ['-w', '/bin/sh', 'tiny', 'true'], 126, /not a directory/],
  ['a working directory behind a descriptor', ['-w', '/proc/self/fd/3', 'tiny', 'true'], 126, /proc\/self\/fd/],
  ['a user that is not there', ['--user', 'nobody-here', 'tiny', 'true'], 126, /"nobody-here"/],
  ['a group that is not there', ['--user', '0:nobody-here', 'tiny', 'true'], 126, /"nobody-here"/],
  ['a user id over 2^31-1', ['--user', '2147483648', 'tiny', 'true'], 126, /2147483648/],
  ['a user id that wraps to root', ['--user', '4294967296', 'tiny', 'true'], 126, /4294967296/],
  ['a negative user id', ['--user=-1', 'tiny', 'true'], 126, /-1/],
  ['an unknown option', ['--bogus', 'tiny', 'true'], 125, /--bogus/],
  ['no image', [], 125, /image/],
  ['an image that is not there', ['--pull=never', 'missing', 'true'], 125, /"missing" is not in the store/],
  ['an image without a command', ['silent'], 125, /no command/],
  ['a relative working directory', ['-w', 'here', 'tiny', 'true'], 125, /absolute/],
  ['a volume whose source is not there', ['-v', '/no/such/place:/x', 'tiny', 'true'], 125, /\/no\/such\/place/],
  ['a volume on /proc', ['-v', '/etc:/proc/x', 'tiny', 'true'], 125, /\/proc/],
  ['a volume of a file on a directory', ['-v', '/etc/passwd:/srv', 'tiny', 'true'], 125, /\/srv/],
  ['a name that is no name', ['--name', '../up', 'tiny', 'true'], 125, /not valid/],
  ['a hostname that is none', ['--hostname', 'a b', 'tiny', 'true'], 125, /not valid/],
];

describe.skipIf(missing)(titled('lamina run ends with docker’s exit code', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [SCRIPTS]));
    await lamina.load(recipe('silent', [SCRIPTS], { Cmd: [] }));
  });

  afterAll(() => lamina.close());

  test.each(CASES)('run: %s', async (_, args, code, message) => {
    const outcome = await lamina.call(['run', '--rm', ...args]);
    expect(outcome.code, outcome.stderr).toBe(code);
    if (message === '') expect(outcome.stderr).toBe('');
    else expect(outcome.stderr).toMatch(message);
    // Whatever went wrong, --rm leaves nothing.
    expect(readdirSync(join(lamina.root, 'holds'))).toEqual([]);
    expect(readdirSync(join(lamina.root, 'containers')).filter((name) => !/^\.(lock|names)$/.test(name))).toEqual([]);
  });
});

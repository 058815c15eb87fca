import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { has, titled } from '../support/requirements.ts';
import { cannotMount, hasEnded, Playground, until } from './playground.ts';

const SCRIPT = join(DIST, 'cli/fuse-lamina');
const LAMINA = join(DIST, 'cli/lamina');
const MOUNT = ['-o', 'lowerdir=A', 'm'];

const SHELLS: readonly (readonly [shell: readonly string[], missing: string | undefined])[] = [
  [['dash'], has('dash')],
  [['bash', '--posix'], has('bash')],
  [['busybox', 'sh'], has('busybox')],
];

/** A directory for the PATH with a `node` of our own. */
function withNode(ground: Playground, script: string): NodeJS.ProcessEnv {
  writeFileSync(ground.at('dir-node'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  ground.run(['sh', '-c', 'mkdir bin && mv dir-node bin/node']);
  return { PATH: `${ground.at('bin')}:${process.env['PATH'] ?? ''}` };
}

describe.skipIf(cannotMount !== undefined)(titled('lamina, the shell script,', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  for (const [shell, missing] of SHELLS) {
    test.skipIf(missing !== undefined)(titled(`runs in ${shell.join(' ')}, through a symlink`, missing), () => {
      symlinkSync(LAMINA, ground.at('link'));
      const { code, stdout, stderr } = ground.run([...shell, 'link', 'stats', 'two  words']);
      expect([code, stdout, stderr]).toEqual([1, '', 'lamina: no container "two  words"; "lamina ps -a" lists all\n']);
    });
  }

  test('says that there is no node', () => {
    const stderr = 'lamina: node is not on the PATH: install Node.js, or add its directory\n';
    expect(ground.run(['/bin/sh', LAMINA, 'ps'], { PATH: '/nowhere' })).toEqual({ code: 127, stdout: '', stderr });
  });

  test('keeps NODE_EXTRA_CA_CERTS from Node as often as it starts, and has what it runs find it', () => {
    const node = withNode(ground, `echo "\${NODE_EXTRA_CA_CERTS-none}" >> starts; exec ${process.execPath} "$@"`);
    const environment = { ...node, NODE_EXTRA_CA_CERTS: '/not/there' };
    const seen = 'echo "$NODE_EXTRA_CA_CERTS ${LAMINA_EXTRA_CA_CERTS-none}"';
    const { code, stdout, stderr } = ground.run([LAMINA, 'try', '--discard', 'sh', '-c', seen], environment);
    // Node complains of what it cannot read.
    expect([code, stdout.split('\n')[0], stderr.includes('extra certs')]).toEqual([0, '/not/there none', false]);
    expect(ground.run(['cat', 'starts']).stdout).toBe('none\n');
  });
});

describe.skipIf(cannotMount !== undefined)(titled('fuse-lamina, the shell script,', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  for (const [shell, missing] of SHELLS) {
    test.skipIf(missing !== undefined)(titled(`runs in ${shell.join(' ')}, through a symlink`, missing), () => {
      symlinkSync(SCRIPT, ground.at('link'));
      expect(ground.run([...shell, 'link', ...MOUNT])).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(ground.mounted).toEqual(['m']);
      const again = ground.run([...shell, 'link', ...MOUNT]);
      expect([again.code, again.stdout]).toEqual([1, '']);
      expect(again.stderr).toBe('fuse-lamina: mount point m is in use: lamina is mounted on it already\n');
    });
  }

  test('is found on the PATH, also without standard streams, and starts one Node', () => {
    symlinkSync(SCRIPT, ground.at('fuse-lamina'));
    const count = withNode(ground, `echo "$$" >> ${ground.at('starts')}; exec ${process.execPath} "$@"`);
    const path = `${ground.path}:${count['PATH'] ?? ''}`;
    const script = `fuse-lamina ${MOUNT.join(' ')} <&- >&- 2>&-; echo $?; cat starts`;
    const { stdout } = ground.run(['sh', '-c', script], { PATH: path });
    expect(stdout).toBe(`0\n${ground.daemonOf('m')}\n`);
  });

  test('says that there is no node, or that it ended', () => {
    expect(ground.run(['/bin/sh', SCRIPT, ...MOUNT], { PATH: '/nowhere' })).toEqual({
      code: 127,
      stdout: '',
      stderr: 'fuse-lamina: node is not on the PATH: install Node.js, or add its directory\n',
    });
    const ended = { code: 1, stdout: '', stderr: 'fuse-lamina: the daemon ended early\n' };
    expect(ground.run([SCRIPT, ...MOUNT], withNode(ground, 'exit 3'))).toEqual(ended);
  });

  test('takes a script that waits for its node for node', () => {
    const { code, stderr } = ground.run([SCRIPT, ...MOUNT], withNode(ground, `${process.execPath} "$@"`));
    expect([code, stderr, ground.mounted]).toEqual([0, '', ['m']]);
  });

  // A shell puts SIGINT off until it has read what it waits for.
  test.each(['SIGKILL', 'SIGINT'] as const)('that is ended by %s leaves nothing mounted', async (signal) => {
    const slow = withNode(ground, `echo $$ > begun; read go < go; exec ${process.execPath} "$@"`);
    ground.run(['mkfifo', 'go']);
    const { child, end } = ground.start(['env', `PATH=${slow['PATH'] ?? ''}`, SCRIPT, ...MOUNT]);
    await until('node is called', () => ground.run(['cat', 'begun']).stdout.endsWith('\n'));
    const node = Number(ground.run(['cat', 'begun']).stdout);
    child.kill(signal);
    ground.run(['sh', '-c', 'echo > go']);
    await until('node has ended', () => hasEnded(node));
    await end;
    expect([ground.mounted, ground.registered()]).toEqual([[], []]);
  });
});

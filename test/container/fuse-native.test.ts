import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import {
  firstMissing,
  has,
  hasFuseDevice,
  hasFuseNative,
  hasUserNamespaces,
  isRoot,
  titled,
} from '../support/requirements.ts';
import { Lamina, type User, makeUser, recipe, removeUser } from './lamina.ts';

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'data/a', content: 'a\n' },
    { type: 'file', name: 'data/b', content: 'b\n' },
  ],
};

const BACKEND = ['--backend', 'fuse-native'];
const SCRIPT = [
  'while read -r line; do case $line in *" / / "*fuse.lamina*) echo union;; esac; done </proc/self/mountinfo',
  'rm /data/a; mv /data/b /data/c; echo x >/data/new; mkdir /own',
  'ln /data/new /data/other; echo y >>/data/other; cat /data/new; stat -c %h /data/new',
  'exec 3<>/data/open; echo kept >&3; rm /data/open; cat /proc/self/fd/3; exec 3>&-',
].join('\n');
const SAID = 'union\nx\ny\n2\nkept\n';
const CHANGES = 'C /data\nD /data/a\nD /data/b\nA /data/c\nA /data/new\nA /data/other\nA /own\n';

const missing = firstMissing(isRoot(), hasFuseDevice(), hasFuseNative());

describe.skipIf(missing)(titled('a container of root through fuse-native', missing), () => {
  let lamina: Lamina;
  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
  });
  afterAll(() => lamina.close());

  test('runs, changes its files and shows what it has changed', async () => {
    const outcome = await lamina.call(['run', ...BACKEND, '--name', 'changes', 'tiny', 'sh', '-c', SCRIPT]);
    expect(outcome).toEqual({ code: 0, stdout: SAID, stderr: '' });
    expect((await lamina.call(['diff', 'changes'])).stdout).toBe(CHANGES);
    expect(await lamina.call(['rm', 'changes'])).toEqual({ code: 0, stdout: 'changes\n', stderr: '' });
  });

  test('files that --user makes belong to that user, with the umask of the maker', async () => {
    const script = 'umask 027; cd /tmp; echo x >f; mkdir d; ln -s f l; stat -c "%u %g %a" f d; stat -c "%u %g" l';
    const args = ['run', '--rm', ...BACKEND, '--user', 'guest:staff', 'tiny', 'sh', '-c', script];
    const outcome = await lamina.call(args);
    expect(outcome).toEqual({ code: 0, stdout: '1000 50 640\n1000 50 750\n1000 50\n', stderr: '' });
  });

  test('several at once do not disturb each other, and exit codes are those of the commands', async () => {
    const run = (code: number) =>
      lamina.call(['run', '--rm', ...BACKEND, 'tiny', 'sh', '-c', `echo ${code} >/data/a; cat /data/a; exit ${code}`]);
    const outcomes = await Promise.all([3, 4, 5].map(run));
    expect(outcomes).toEqual([3, 4, 5].map((code) => ({ code, stdout: `${code}\n`, stderr: '' })));
    expect((await lamina.call(['run', '--rm', ...BACKEND, 'tiny', 'missing'])).code).toBe(127);
  });

  test('a name that is no backend is refused before anything is made', async () => {
    const outcome = await lamina.call(['run', '--backend', 'nonsense', 'tiny', 'true']);
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toMatch(/nonsense.*device, fuse-native/);
    expect((await lamina.call(['ps', '-aq'])).stdout).toBe('');
  });
});

const noUsers = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('setpriv'));
const START = 720_000_000;

for (const [title, range, unmet] of [
  ['subordinate ids', { start: START, count: 65_536 }, firstMissing(noUsers, has('newuidmap'))],
  ['a single id', undefined, noUsers],
] as const) {
  describe.skipIf(unmet)(titled(`a container of an ordinary user with ${title}, through fuse-native`, unmet), () => {
    let user: User;
    let lamina: Lamina;
    beforeAll(async () => {
      user = makeUser(range === undefined ? 'lamina-native1' : 'lamina-native', range);
      lamina = new Lamina(user);
      await lamina.load(recipe('tiny', [FILES]));
    });
    afterAll(async () => {
      await lamina.close();
      removeUser(user.name);
    });

    test('runs, changes its files and shows what it has changed', async () => {
      const outcome = await lamina.call(['run', ...BACKEND, '--name', 'changes', 'tiny', 'sh', '-c', SCRIPT]);
      expect(outcome).toMatchObject({ code: 0, stdout: SAID });
      expect((await lamina.call(['diff', 'changes'])).stdout).toBe(CHANGES);
      expect(await lamina.call(['rm', 'changes'])).toMatchObject({ code: 0 });
    });
  });
}

import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lamina, type User, ended, makeUser, recipe, removeUser, wrote } from '../container/lamina.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';

const CHANGE =
  'mkdir /data /data/deep; echo 1 > /data/a; ln /data/a /data/b; chmod 600 /etc/passwd; rm -r /srv; mkdir /srv; ' +
  'mv /var /moved; mkdir /var; rm /data/b; cp -a /data2 /data3; rm -r /data2; mv /data3 /data2';

const needed = firstMissing(isRoot(), hasFuseDevice());
const rootless = firstMissing(needed, hasUserNamespaces(), has('useradd'), has('newuidmap'), has('setpriv'));

const CASES = [
  { whose: 'root', missing: needed, range: undefined },
  { whose: 'an ordinary user', missing: rootless, range: { start: 800_000_000, count: 65_536 } },
];

for (const { whose, missing, range } of CASES) {
  describe.skipIf(missing !== undefined)(titled(`lamina fsck of a container of ${whose}`, missing), () => {
    let user: User | undefined;
    let lamina: Lamina;

    beforeAll(async () => {
      user = range === undefined ? undefined : makeUser('lamina-fsck', range);
      lamina = new Lamina(user);
      await lamina.load(
        recipe('tiny', [{ title: 'files', entries: [{ type: 'file', name: 'data2/x', content: 'x' }] }]),
      );
    });

    afterAll(async () => {
      await lamina.close();
      if (user !== undefined) removeUser(user.name);
    });

    test('finds nothing wrong with what a container has changed', async () => {
      const { code, stderr } = await lamina.call(['run', '--name', 'changed', 'tiny', 'sh', '-c', CHANGE]);
      expect([code, stderr]).toEqual([0, '']);
      const checked = await lamina.call(['fsck', '--container', 'changed']);
      expect([checked.code, checked.stderr]).toEqual([0, '']);
      expect(checked.stdout).toMatch(/upper: clean \(\d+ directories, [1-9]\d* files/);
    });

    test('does not mend one that runs, and names what is not there', async () => {
      const running = lamina.start(['run', '--name', 'running', 'tiny', 'sh', '-c', 'echo ready; sleep 1000']);
      const end = ended(running);
      await wrote(running, 'ready');
      const { code, stderr } = await lamina.call(['fsck', '--container', 'running', '--repair']);
      expect([code, stderr]).toEqual([8, expect.stringMatching(/^lamina: cannot repair .* while it is in use: /)]);
      await lamina.call(['rm', '-f', 'running']);
      await end;
      const gone = await lamina.call(['fsck', '--container', 'running']);
      expect([gone.code, gone.stderr]).toEqual([8, expect.stringMatching(/no container "running"/)]);
    });

    test('takes the path of its upper', async () => {
      const directory = join(lamina.root, 'containers');
      const [id = ''] = readdirSync(directory).filter((name) => !name.startsWith('.'));
      const { code, stderr, stdout } = await lamina.call(['fsck', join(directory, id, 'upper')]);
      expect([code, stderr, stdout]).toEqual([0, '', expect.stringMatching(/: clean \(/)]);
    });
  });
}

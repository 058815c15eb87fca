import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, type User, makeUser, removeUser } from './lamina.ts';

function checkOutput({ code, stdout }: Outcome): void {
  expect(code).toBe(0);
  for (const layer of [1, 2, 3, 4]) expect(stdout).toMatch(new RegExp(`layer ${layer}  [0-9a-f]{12}  `));
  expect(stdout).toContain('srv/cache/ (opaque)');
  expect(stdout).toContain('srv/obsolete (whiteout)');
  // What its steps wrote, deleted and renamed.
  const changes = [
    'C /srv',
    'C /srv/cache',
    'D /srv/cache/fresh',
    'A /srv/cache/new',
    'D /srv/greeting',
    'D /srv/poem',
    'A /srv/verses',
  ];
  expect(stdout).toContain(changes.map((line) => `   ${line}\n`).join(''));
  expect(stdout).toContain('hello from layer 3');
  expect(stdout).toContain('a line from the container');
  expect(stdout).toContain('srv/poem (whiteout)');
}

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('lamina demo', missing), () => {
  test('demo builds its image, runs it and shows what landed in the upper; twice, and leaves no container', async () => {
    const lamina = new Lamina();
    checkOutput(await lamina.call(['demo']));
    checkOutput(await lamina.call(['demo']));
    expect((await lamina.call(['ps', '-aq'])).stdout).toBe('');
    expect((await lamina.call(['images'])).stdout).toContain('lamina/demo');
    await lamina.close();
  });

  // The kernel answers ENOTDIR for the one, ENOENT for the other.
  test.each(['/dev/null/store', '/proc/lamina/store'])('demo with the store %s fails and says why', (root) => {
    const env = { ...process.env, LAMINA_ROOT: root };
    const program = [join(DIST, 'cli/lamina.js'), 'demo'];
    const outcome = spawnSync(process.execPath, program, { env, encoding: 'utf8', timeout: 30_000 });
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toMatch(new RegExp(`^lamina: .*${root}.*\n$`));
  });
});

const rootless = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('setpriv'), has('newuidmap'));

describe.skipIf(rootless)(titled('lamina demo of an ordinary user', rootless), () => {
  let user: User;

  beforeAll(() => {
    user = makeUser('lamina-demo', { start: 710_000_000, count: 65_536 });
  });

  afterAll(() => removeUser(user.name));

  test('demo does the same without root', async () => {
    const lamina = new Lamina(user);
    const outcome = await lamina.call(['demo']);
    checkOutput(outcome);
    expect(outcome.stdout).toContain('without root');
    await lamina.close();
  });
});

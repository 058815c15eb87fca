import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type Layer } from '../../runner/demo/image.ts';
import { ended, extraProgram, Lamina, makeUser, OPEN_FUSE, recipe, removeUser } from '../container/lamina.ts';
import { FakeRegistry } from '../image/fake-registry.ts';
import { temporary } from '../image/ground.ts';
import { DIST, REPOSITORY } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());
const asUser = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('setpriv'), has('newuidmap'));
const START = 750_000_000;
// Some twenty starts of the program.
const LONG = { timeout: 180_000 };

/** What is about images in README's part on containers, and the containers that it needs, in its order. */
const ABOUT_IMAGES =
  /^lamina (?:pull|push|search|save|load|images?|tag|squash|import|export|commit|history|diff|system|rmi) /;
const ITS_CONTAINERS = /^lamina (?:run .*debian:12 (?:cat|sh)|ps|rm job)/;

function commands(): string[] {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
  const [, block = ''] = /^## A container\n\n```console\n(.*?)^```/ms.exec(readme) ?? [];
  const lines = [...block.matchAll(/^\$ (.*?)(?: +# .*)?$/gm)].map(([, command = '']) => command);
  return lines.filter((line) => ABOUT_IMAGES.test(`${line} `) || ITS_CONTAINERS.test(line));
}

// Debian as far as these commands look at it.
const DEBIAN: Layer = {
  title: 'of Debian',
  entries: [
    { type: 'file', name: 'etc/os-release', content: 'ID=debian\n' },
    {
      type: 'file',
      name: 'etc/passwd',
      content: 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n',
    },
    { type: 'file', name: 'etc/group', content: 'root:x:0:\nwww-data:x:33:\n' },
  ],
};

describe.skipIf(missing)(titled("README's commands for images, from an empty home", missing), () => {
  let remote: FakeRegistry;

  /** A registry that is docker.io and registry.example to who reads this file. */
  function registriesConf(): string {
    const path = join(temporary(), 'registries.conf');
    const place = (prefix: string): string =>
      `[[registry]]\nprefix = "${prefix}"\nlocation = "${remote.host}/${prefix.replace('.', '-')}"\n`;
    writeFileSync(path, place('docker.io') + place('registry.example'));
    chmodSync(join(path, '..'), 0o755);
    return path;
  }

  /** Tags, which the registry's stand-in does not list by itself. */
  function listTags(): void {
    remote.behave = ({ url = '' }, response) => {
      if (!url.endsWith('/tags/list')) return false;
      response.end(JSON.stringify({ tags: ['12'] }));
      return true;
    };
  }

  // FakeRegistry's own lifetime is a test's.
  async function openRegistry(): Promise<void> {
    remote = await FakeRegistry.open();
    listTags();
    const maker = new Lamina();
    await maker.load(recipe('debian', [extraProgram('cat'), DEBIAN]));
    const pushed = await maker.call(['push', '-q', 'debian', `${remote.host}/docker-io/library/debian:12`]);
    expect(pushed).toMatchObject({ code: 0, stderr: '' });
    await maker.close();
  }

  /** Does all commands in a home directory; each must succeed. */
  async function walk(home: string, become: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
    const bin = join(home, '../bin');
    mkdirSync(bin);
    const program = `#!/bin/sh\nexec ${process.execPath} ${join(DIST, 'cli/lamina.js')} "$@"\n`;
    writeFileSync(join(bin, 'lamina'), program, { mode: 0o755 });
    const shared = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, CONTAINERS_REGISTRIES_CONF: registriesConf() };
    const said = new Map<string, string>();
    expect(commands().length).toBeGreaterThan(18);
    for (const line of commands()) {
      const [file, ...rest] = [...become, 'sh', '-c', line] as const;
      const child = spawn(file, rest, {
        cwd: home,
        env: { ...shared, HOME: home, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const { code, stdout, stderr } = await ended(child);
      expect({ line, code, stderr }).toMatchObject({ line, code: 0 });
      said.set(line, stdout);
    }
    expect(said.get('lamina run --rm debian:12 cat /etc/os-release')).toBe('ID=debian\n');
    expect(said.get('lamina diff job')).toBe('C /tmp\nA /tmp/note\n');
    expect(said.get('lamina diff job:2 debian:12')).toBe('C /tmp\nA /tmp/note\n');
    expect(said.get('lamina system check')).toMatch(/: clean \(/);
    expect(
      readdirSync(home)
        .filter((name) => !name.startsWith('.'))
        .sort(),
    ).toEqual(['debian.tar', 'job.tar']);
    expect(
      remote.requests.some((request) => request.startsWith('PUT /v2/registry-example/team/debian/manifests/')),
    ).toBe(true);
  }

  test('work as root', LONG, async () => {
    await openRegistry();
    const base = temporary();
    mkdirSync(join(base, 'home'));
    await walk(join(base, 'home'), [], { LAMINA_ROOT: join(base, 'store') });
  });

  describe.skipIf(asUser)(titled('of an ordinary user', asUser), () => {
    let uid: number;
    beforeAll(() => {
      ({ uid } = makeUser('lamina-readme', { start: START, count: 65_536 }));
    });
    afterAll(() => removeUser('lamina-readme'));

    test('work', LONG, async () => {
      await openRegistry();
      const base = temporary();
      chmodSync(base, 0o755);
      mkdirSync(join(base, 'home'));
      chownSync(join(base, 'home'), uid, uid);
      const become = [...OPEN_FUSE, 'setpriv', '--reuid=lamina-readme', `--regid=${uid}`, '--init-groups'];
      await walk(join(base, 'home'), become, { USER: 'lamina-readme' });
    });
  });
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { pullImage } from '../../runner/image/pull.ts';
import { parseReference } from '../../runner/image/reference.ts';
import { endpointsOf, textOf } from '../../runner/image/registry/endpoints.ts';
import { MirroredRepository } from '../../runner/image/registry/mirrored-repository.ts';
import { readRegistriesConf, type RegistriesConf } from '../../runner/image/registry/registries-conf.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { meaningsOf } from '../../runner/image/registry/short-names.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { Lamina } from '../container/lamina.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { newStore, temporary } from './ground.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

/** What lamina reads of files below a home directory, where the system's do not count: the user's main file is there. */
function read(files: Readonly<Record<string, string>>): RegistriesConf {
  const home = temporary();
  for (const [name, text] of Object.entries(files)) {
    const path = join(home, '.config/containers', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return readRegistriesConf({ HOME: home });
}

function places(conf: RegistriesConf, name: string): string[] {
  return endpointsOf(parseReference(name), conf).map(
    ({ reference, insecure }) => `${textOf(reference)}${insecure ? ' insecure' : ''}`,
  );
}

describe('registries.conf', () => {
  const conf = (): RegistriesConf =>
    read({
      'registries.conf': `
        unqualified-search-registries = ["quay.io", "docker.io"]
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"
        [[registry]]
        prefix = "docker.io/library/special"
        location = "elsewhere.example/other/name"
        [[registry]]
        prefix = "*.internal.example"
        insecure = true
        [[registry]]
        prefix = "bad.example"
        location = "bad.example"
        blocked = true
        [[registry]]
        location = "pinned.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "pins.example"
        [aliases]
        short = "registry.example/team/long"
      `,
      'registries.conf.d/10.conf': '[aliases]\nother = "registry.example/other"\nshort = "registry.example/changed"\n',
    });

  const cases: readonly (readonly [name: string, places: readonly string[]])[] = [
    [
      'debian:12',
      [
        'mirror.example:5000/hub/library/debian:12 insecure',
        'tags.example/library/debian:12',
        'docker.io/library/debian:12',
      ],
    ],
    [
      `team/app@${DIGEST}`,
      [
        `mirror.example:5000/hub/team/app@${DIGEST} insecure`,
        `digests.example/team/app@${DIGEST}`,
        `docker.io/team/app@${DIGEST}`,
      ],
    ],
    ['special:1', ['elsewhere.example/other/name:1']],
    [
      'special/app:1',
      ['mirror.example:5000/hub/special/app:1 insecure', 'tags.example/special/app:1', 'docker.io/special/app:1'],
    ],
    [
      'docker.io/library/special2:1',
      [
        'mirror.example:5000/hub/library/special2:1 insecure',
        'tags.example/library/special2:1',
        'docker.io/library/special2:1',
      ],
    ],
    ['a.b.internal.example:5000/x:1', ['a.b.internal.example:5000/x:1 insecure']],
    ['internal.example/x:1', ['internal.example/x:1']],
    ['other.example/a.internal.example/x:1', ['other.example/a.internal.example/x:1']],
    ['pinned.example/x:1', ['pinned.example/x:1']],
    [`pinned.example/x@${DIGEST}`, [`pins.example/x@${DIGEST}`, `pinned.example/x@${DIGEST}`]],
    ['unknown.example/x:1', ['unknown.example/x:1']],
  ];
  test.each(cases)('endpointsOf %s', (name, expected) => {
    expect(places(conf(), name)).toEqual(expected);
  });

  test('endpointsOf refuses a registry that is blocked', () => {
    expect(() => places(conf(), 'bad.example/x:1')).toThrow('registries.conf blocks bad.example');
    expect(places(conf(), 'bad.example.org/x:1')).toEqual(['bad.example.org/x:1']);
  });

  test('meaningsOf a short name are its alias, else what is searched, else docker.io', () => {
    const texts = (settings: RegistriesConf, name: string): string[] => meaningsOf(name, settings).map(textOf);
    expect(texts(conf(), 'short:3')).toEqual(['registry.example/changed:3']);
    expect(texts(conf(), `other@${DIGEST}`)).toEqual([`registry.example/other@${DIGEST}`]);
    expect(texts(conf(), 'unheard-of')).toEqual(['quay.io/unheard-of:latest', 'docker.io/library/unheard-of:latest']);
    expect(texts(conf(), 'team/app:1')).toEqual(['quay.io/team/app:1', 'docker.io/team/app:1']);
    expect(texts(conf(), 'ghcr.io/short:3')).toEqual(['ghcr.io/short:3']);
    expect(texts(read({ 'registries.conf': '' }), 'team/app')).toEqual(['docker.io/team/app:latest']);
  });

  test('aliases that podman keeps have the last word, those of drop-ins the one before; helpers are read', () => {
    const aliases = join(temporary(), 'short-name-aliases.conf');
    writeFileSync(aliases, '[aliases]\nchosen = "quay.io/chosen/it"\n"kept/it" = "quay.io/kept/it"\ngone = ""\n');
    const home = temporary();
    const directory = join(home, '.config/containers/registries.conf.d');
    mkdirSync(directory, { recursive: true });
    writeFileSync(
      join(directory, 'shortnames.conf'),
      '[aliases]\nchosen = "docker.io/x"\ngone = "docker.io/y"\nleft = "ghcr.io/left"',
    );
    writeFileSync(join(directory, '50-helpers.conf'), 'credential-helpers = ["containers-auth.json", "secretservice"]');
    const settings = readRegistriesConf({ HOME: home }, aliases);
    const meaning = (name: string): string => textOf(meaningsOf(name, settings)[0]);
    expect(['chosen:1', 'kept/it:1', 'left:1'].map(meaning)).toEqual([
      'quay.io/chosen/it:1',
      'quay.io/kept/it:1',
      'ghcr.io/left:1',
    ]);
    expect(settings.aliases.has('gone')).toBe(false);
    expect(settings.credentialHelpers).toEqual(['containers-auth.json', 'secretservice']);
  });

  const wrong: readonly (readonly [text: string, message: RegExp])[] = [
    ['[registries.search]\nregistries = ["quay.io"]', /registries\.conf is in version 1 of its format/],
    ['unqualified-search-registries = [', /registries\.conf is not TOML: /],
    ['[[registry]]\ninsecure = true', /registry\[0\] has neither a prefix nor a location/],
    ['[[registry]]\nprefix = "x.example"', /registry\[0\] has no location/],
    ['[[registry]]\nlocation = "x.example"\nblocked = "yes"', /registry\[0\]\.blocked is neither true nor false/],
    [
      '[[registry]]\nlocation = "x.example"\n[[registry.mirror]]\nlocation = "y.example"\npull-from-mirror = "x"',
      /mirror\[0\]\.pull-from-mirror is none of/,
    ],
  ];
  test.each(wrong)('readRegistriesConf says what is wrong with %j', (text, message) => {
    expect(() => read({ 'registries.conf': text })).toThrow(message);
  });

  test('readRegistriesConf reads the file alone that CONTAINERS_REGISTRIES_CONF names', () => {
    const path = join(temporary(), 'own.conf');
    writeFileSync(path, 'unqualified-search-registries = ["own.example"]');
    expect(readRegistriesConf({ CONTAINERS_REGISTRIES_CONF: path })).toEqual({
      rules: [],
      aliases: new Map(),
      searched: ['own.example'],
    });
  });
});

const LAYER = tar({ name: 'file', data: 'x'.repeat(100_000) });

describe.skipIf(isRoot())(titled('MirroredRepository', isRoot()), () => {
  async function pull(store: Store, mirrors: readonly FakeRegistry[], reports: string[]): Promise<void> {
    const references = mirrors.map(({ host }) => parseReference(`${host}/team/app:1`));
    const registries = references.map(
      (reference) => new Registry(reference, { credentials: undefined, tlsVerify: true, backOff: 1, attempts: 2 }),
    );
    const repository = new MirroredRepository(registries, (message) => reports.push(message));
    try {
      await pullImage(store, repository, parseReference('registry.example/team/app:1'), {
        platform: parsePlatform('linux/amd64'),
        limits: DEFAULT_LIMITS,
        warnings: new Warnings(),
        progress: { begin: () => () => undefined, settle: () => undefined },
      });
    } finally {
      await repository.close();
    }
  }

  test('asks a mirror alone that has all', async () => {
    const [store, mirror, main] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    mirror.image('1', [LAYER]);
    const reports: string[] = [];
    await pull(store, [mirror, main], reports);
    expect(store.resolve('registry.example/team/app:1').names).toEqual(['registry.example/team/app:1']);
    expect(main.requests).toEqual([]);
    expect(reports).toEqual([]);
  });

  test('asks the registry for what a mirror does not have, and where no mirror is', async () => {
    const [store, mirror, gone, main] = [
      newStore(),
      await FakeRegistry.open(),
      await FakeRegistry.open(),
      await FakeRegistry.open(),
    ];
    gone.behave = (_request, response) => {
      response.destroy();
      return true;
    };
    main.image('1', [LAYER]);
    const reports: string[] = [];
    await pull(store, [mirror, gone, main], reports);
    expect(store.list()).toHaveLength(1);
    expect(reports).toHaveLength(2);
    expect(reports[0]).toMatch(/^mirror 127\.0\.0\.1:\d+ fails, the next is asked: .* has no manifest 1/);
  });

  test('goes on with the registry where a mirror breaks in the middle of a layer', async () => {
    const [store, mirror, main] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    mirror.image('1', [LAYER]);
    main.image('1', [LAYER]);
    let isDead = false;
    mirror.behave = (request, response) => {
      if (request.url?.includes(sha256(LAYER)) !== true) return false;
      if (isDead) response.destroy();
      else {
        isDead = true;
        response.writeHead(200, { 'content-length': LAYER.length });
        response.write(LAYER.subarray(0, 50_000), () => response.destroy());
      }
      return true;
    };
    const reports: string[] = [];
    await pull(store, [mirror, main], reports);
    expect(store.list()).toHaveLength(1);
    expect(main.blobRequests).toEqual([`GET /v2/team/app/blobs/sha256:${sha256(LAYER)} bytes=50000-`]);
    expect(reports).toHaveLength(1);
  });

  test('does not believe a mirror', async () => {
    const [store, mirror, main] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    mirror.image('1', [LAYER]);
    main.image('1', [LAYER]);
    mirror.blobs.set(`sha256:${sha256(LAYER)}`, Buffer.from(LAYER).fill(1, 600, 601));
    const reports: string[] = [];
    await pull(store, [mirror, main], reports);
    expect(store.list()).toHaveLength(1);
    expect(reports).toEqual([expect.stringMatching(/^mirror \S+ fails, the next is asked: .*another content/)]);
    expect(mirror.blobRequests.filter((line) => line.includes(sha256(LAYER)))).toHaveLength(1);
  });
});

describe.skipIf(isRoot())(titled('lamina pull, push and run with registries.conf', isRoot()), () => {
  test('a mirror, an alias and a moved registry', async () => {
    const [mirror, moved, lamina] = [await FakeRegistry.open(), await FakeRegistry.open(), new Lamina()];
    onTestFinished(() => lamina.close());
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    mirror.image('1', [LAYER], [LAYER], architecture);
    const path = join(temporary(), 'registries.conf');
    writeFileSync(
      path,
      `[[registry]]
       location = "registry.invalid"
       [[registry.mirror]]
       location = "${mirror.host}"
       [[registry]]
       prefix = "moved.invalid"
       location = "${moved.host}/below"
       [[registry]]
       location = "blocked.invalid"
       blocked = true
       [aliases]
       app = "registry.invalid/team/app"`,
    );
    const env = { CONTAINERS_REGISTRIES_CONF: path };
    const pulled = await lamina.call(['pull', '--quiet', 'app:1'], { env });
    expect(pulled.stderr).toBe('');
    expect((await lamina.call(['images', '--json'])).stdout).toContain('registry.invalid/team/app:1');
    const asked = mirror.requests.length;
    // It is found under the name that the alias has given it.
    const { stderr } = await lamina.call(['run', '--rm', 'app:1', '/none'], { env });
    expect(stderr).not.toMatch(/pulling/);
    expect(mirror.requests).toHaveLength(asked);
    const pushed = await lamina.call(['push', '-q', 'registry.invalid/team/app:1', 'moved.invalid/x/y:2'], { env });
    expect(pushed).toEqual({ code: 0, stdout: 'moved.invalid/x/y:2\n', stderr: '' });
    expect(moved.requests.at(-1)).toBe('PUT /v2/below/x/y/manifests/2');
    const blocked = await lamina.call(['pull', 'blocked.invalid/x'], { env });
    expect(blocked.code).toBe(1);
    expect(blocked.stderr).toMatch(/cannot pull blocked\.invalid\/x: registries\.conf blocks blocked\.invalid/);
  });
});

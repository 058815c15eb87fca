import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { ContainerStore } from '../../runner/container/container-store.ts';
import { parseFilters } from '../../runner/image/filters.ts';
import { type Image } from '../../runner/image/image.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { searchRegistry } from '../../runner/image/registry/search.ts';
import { parseReference } from '../../runner/image/reference.ts';
import { openStore, type Store } from '../../runner/image/store.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, type ImageMaking, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { DockerRegistry, USER } from './docker-registry.ts';
import { FakeRegistry } from './fake-registry.ts';
import { load, newStore, temporary } from './ground.ts';

// Some twenty starts of the program.
const LONG = { timeout: 180_000 };

const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
const BASE = tar({ name: 'base', data: 'base'.repeat(100) }, { name: 'both', data: 'lower' });
const TOP = tar({ name: 'both', data: 'upper' });
const history = [{ created: '2020-01-01T00:00:00Z', created_by: 'ADD', author: 'Ann', comment: 'first' }];
const base: ImageMaking = { layers: [BASE], names: ['zbase:1'], architecture, history };
const app: ImageMaking = {
  layers: [BASE, TOP],
  names: ['app:2', 'app:1'],
  architecture,
  config: { Labels: { tier: 'web' } },
};

/** A container of app:1 that has ended. */
function endedContainer(store: Store): void {
  const image = store.resolve('app:1');
  const wanted = { name: 'c', image: 'app:1', imageId: image.id, layers: image.layers, args: ['sh'] };
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const { upper } = containers.create(wanted, { status: 'exited', exitCode: 0 }, ({ id }) => store.hold(image, id));
  writeFileSync(join(upper, 'changed'), 'changed');
}

describe.skipIf(isRoot())(titled('parseFilters', isRoot()), () => {
  test('knows docker’s and podman’s words for images', async () => {
    const store = newStore();
    await load(store, dockerArchive(base, app));
    endedContainer(store);
    const chosen = (...filters: string[]): string[] => {
      const isChosen = parseFilters(filters, store);
      return store.list().filter(isChosen).map(title).sort();
    };
    const title = ({ names }: Image): string => names[0]?.replace(/^.*\/|:.*$/g, '') ?? '';
    const { id, manifests } = store.resolve('app:1');
    expect(chosen(`id=${id.slice(7, 17)}`)).toEqual(['app']);
    expect(chosen(`id=${id}`)).toEqual(['app']);
    expect(chosen(`digest=${manifests[0] ?? ''}`)).toEqual(['app']);
    expect(chosen('containers=true')).toEqual(['app']);
    expect(chosen('containers=false')).toEqual(['zbase']);
    expect(chosen('label!=tier')).toEqual(['zbase']);
    expect(chosen('label!=tier=db')).toEqual(['app', 'zbase']);
    expect(chosen('after=app:1')).toEqual(chosen('since=app:1'));
    expect(() => parseFilters(['containers=some'], store)).toThrow(/containers=some is neither true nor false/);
  });
});

describe.skipIf(isRoot())(titled('lamina has podman’s options', isRoot()), () => {
  test('of images, image tree, image exists, image inspect and rmi', LONG, () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive(base, app));
    const sorted = (key: string): string =>
      line.output(['images', '--sort', key, '-n']).replace(/^(\S+) +(\S+) .*\n/gm, '$1:$2 ');
    expect(sorted('repository')).toMatch(/^app:\d app:\d zbase:1 $/);
    expect(sorted('tag')).toMatch(/^\w+:1 \w+:1 app:2 $/);
    expect(sorted('size')).toMatch(/^zbase:1 app:\d app:\d $/);
    expect(line.output(['image', 'tree', 'zbase:1']).trim().split('\n')).toHaveLength(1);
    expect(line.output(['image', 'tree', '--whatrequires', 'zbase:1'])).toMatch(/ zbase:1\n.* app:2, app:1\n$/);
    expect(line.call(['image', 'exists', 'app:1']).status).toBe(0);
    const gone = line.call(['image', 'exists', 'gone']);
    expect(gone).toMatchObject({ status: 1, stdout: '', stderr: '' });
    const format = '{{.Comment}} {{range .History}}{{.author}}{{end}}';
    expect(line.output(['image', 'inspect', '-f', format, 'zbase:1'])).toBe('first Ann\n');
    endedContainer(openStore(line.root));
    expect(line.output(['rmi', '--ignore', 'gone'])).toBe('');
    expect(line.call(['rmi']).stderr).toBe('lamina: no image is given; --all removes all\n');
    const all = line.call(['rmi', '--all']);
    expect(all.status).toBe(1);
    expect(all.stdout).toMatch(/^Untagged: zbase:1\nDeleted: sha256:\w+\n$/);
    expect(all.stderr).toMatch(/^lamina: cannot remove image sha256:\w+(?:: container| by its id).*\n$/);
    expect(line.output(['system', 'prune', '-f', '--filter', 'until=1h'])).toBe('Total reclaimed space: 0B\n');
    expect(line.output(['system', 'prune', '-f'])).toMatch(/^Deleted Containers:\n/);
    expect(line.output(['image', 'prune', '-f', '--filter', 'dangling=false'])).toMatch(
      /^Deleted Images:\nUntagged: app/,
    );
    expect(openStore(line.root).list()).toEqual([]);
  });

  test('of commit: --squash makes all layers one', () => {
    const line = new CommandLine();
    line.output(['load'], dockerArchive(app));
    const store = openStore(line.root);
    endedContainer(store);
    const id = line.output(['commit', '--squash', '-m', 'all in one', 'c', 'squashed:1']).trim();
    const image = store.resolve('squashed:1');
    expect([image.id, image.layers.length, image.history.at(-1)?.comment]).toEqual([id, 1, 'all in one']);
    expect(readdirSync(image.layers[0] ?? '').sort()).toEqual(['base', 'both', 'changed']);
    expect(readFileSync(join(image.layers[0] ?? '', 'both'), 'utf8')).toBe('upper');
    // The image on the way to it is gone.
    expect(store.list()).toHaveLength(2);
    expect(store.spare().bytes).toBe(0);
    expect(line.call(['commit', '-s', '--format', 'docker', 'c']).stderr).toMatch(/--squash makes a plain OCI image/);
  });
});

describe('searchRegistry', () => {
  test('takes what a search of docker’s form answers, and else looks through the list of repositories', async () => {
    const remote = await FakeRegistry.open();
    let hasSearch = true;
    const results = [
      { name: 'team/app', description: 'an app', star_count: 3, is_official: true },
      { name: 'other', description: 'x', star_count: 'many' },
    ];
    remote.behave = ({ url = '' }, response) => {
      if (url.startsWith('/v1/search?') && hasSearch) response.end(JSON.stringify({ results }));
      else if (url === '/v2/_catalog') response.end(JSON.stringify({ repositories: ['a/app', 'b', 'c/apple'] }));
      else return false;
      return true;
    };
    const registry = new Registry(parseReference(`${remote.host}/any`), { credentials: undefined, tlsVerify: true });
    try {
      const found = await searchRegistry(registry, 'r.example', 'a b&c', 1);
      const nothing = { isOfficial: false, isAutomated: false, stars: 0, description: '' };
      expect(found).toEqual([
        { ...nothing, name: 'r.example/team/app', description: 'an app', stars: 3, isOfficial: true },
      ]);
      expect(remote.requests).toContain('GET /v1/search?q=a%20b%26c&n=1');
      hasSearch = false;
      const listed = await searchRegistry(registry, 'r.example', 'app', 25);
      expect(listed).toEqual(['r.example/a/app', 'r.example/c/apple'].map((name) => ({ ...nothing, name })));
    } finally {
      await registry.close();
    }
  });
});

describe('Registry', () => {
  test('lists all tags, page by page, and never beyond its own host', async () => {
    const remote = await FakeRegistry.open();
    remote.behave = ({ url = '' }, response) => {
      const page = /tags\/list(?:\?last=(\d))?$/.exec(url);
      if (page === null) return false;
      const at = Number(page[1] ?? 0);
      const next = at === 2 ? {} : { link: `<http://127.0.0.1:1/elsewhere?last=${at + 1}>; rel="next"` };
      response.writeHead(200, next).end(JSON.stringify({ name: 'team/app', tags: [`v${at}`] }));
      return true;
    };
    const registry = new Registry(parseReference(`${remote.host}/team/app`), {
      credentials: undefined,
      tlsVerify: true,
    });
    try {
      expect(await registry.tags()).toEqual(['v0', 'v1', 'v2']);
    } finally {
      await registry.close();
    }
  });
});

const missing = firstMissing(isRoot(), has('docker-registry'));

describe.skipIf(missing)(titled('lamina and a registry, in podman’s words', missing), () => {
  test('login -p, --get-login, search, pull --all-tags and logout --all', LONG, async () => {
    const registry = await DockerRegistry.open({ basic: true });
    const file = join(temporary(), 'auth.json');
    const line = new CommandLine('env', `REGISTRY_AUTH_FILE=${file}`);
    expect(line.call(['login', '--get-login', registry.host]).stderr).toMatch(/not logged in to/);
    line.output(['login', '-u', USER.name, '-p', USER.password, registry.host]);
    expect(line.output(['login', '--get-login', registry.host])).toBe(`${USER.name}\n`);
    line.output(['load'], dockerArchive(app));
    for (const tag of ['a', 'b']) line.output(['push', '-q', 'app:1', `${registry.host}/app:${tag}`]);
    expect(line.output(['search', `${registry.host}/pp`])).toMatch(/^NAME +DESCRIPTION\n127\S+\/app\n$/);
    expect(line.output(['search', '--format', '{{.Name}}', `${registry.host}/none`])).toBe('');
    expect(line.output(['search', '--list-tags', '--format', '{{.Tag}}', `${registry.host}/app`])).toMatch(
      /^(?:a\nb|b\na)\n$/,
    );
    expect(line.call(['search', '--list-tags', `${registry.host}/none`]).stderr).toMatch(/cannot list the tags of/);
    line.output(['rmi', '-fa']);
    line.output(['image', 'pull', '-q', '--all-tags', `${registry.host}/app`]);
    expect(openStore(line.root).resolve(`${registry.host}/app:a`).names.toSorted()).toEqual([
      `${registry.host}/app:a`,
      `${registry.host}/app:b`,
    ]);
    expect(line.call(['pull', '-a', `${registry.host}/app:a`]).stderr).toMatch(/--all-tags goes with a name alone/);
    expect(line.call(['pull', '--arch', 'riscv64', `${registry.host}/app:a`]).stderr).toMatch(/riscv64/);
    line.output(['logout', '--all']);
    expect(existsSync(file) && JSON.parse(readFileSync(file, 'utf8'))).toEqual({ auths: {} });
  });
});

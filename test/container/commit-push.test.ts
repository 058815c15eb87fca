import { describe, expect, onTestFinished, test } from 'vitest';
import { openStore } from '../../runner/image/store.ts';
import { DockerRegistry } from '../image/docker-registry.ts';
import { merged } from '../image/merged.ts';
import { belowRoot, Others } from '../image/others.ts';
import { firstMissing, has, hasFuseDevice, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const programs = ['docker-registry', 'podman', 'buildah', 'skopeo', 'umoci'].map(has);
const missing = firstMissing(isRoot(), hasFuseDevice(), hasKernelOverlay(), ...programs);

/** Without directories that no archive has an entry for: each program gives them a time of its own. */
function archived(lines: readonly string[]): string[] {
  return belowRoot(lines).filter((line) => !/^lib\S* 40755 /.test(line));
}

describe.skipIf(missing)(titled('lamina commit on a commit, pushed', missing), () => {
  async function open(): Promise<Lamina> {
    const lamina = new Lamina();
    onTestFinished(() => lamina.close());
    return Promise.resolve(lamina);
  }

  async function succeed(lamina: Lamina, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await lamina.call(args);
    expect(code, stderr).toBe(0);
  }

  /** Requests with one method for blobs, since `from`. */
  function blobs(registry: DockerRegistry, from: number, method: string): string[] {
    return registry.requests.slice(from).filter((line) => line.startsWith(`${method} `) && line.includes('/blobs/'));
  }

  const SCRIPTS = [
    'mkdir /data && echo one >/data/one && chmod 4711 /data/one && ln /data/one /data/linked && ln -s one /data/link',
    'echo two >/data/two && rm /data/link && rm -r /srv/old && mkdir /srv/old && mv /srv/moved /srv/elsewhere',
  ];

  test('one layer and one configuration travel each time, and podman, buildah and skopeo see the same', async () => {
    const [registry, lamina, other] = [await DockerRegistry.open(), await open(), await open()];
    const others = new Others(registry);
    const file = (name: string) => ({ type: 'file', name, content: name, mode: 0o644 }) as const;
    const layer = { title: 'files', entries: [file('srv/old/inner'), file('srv/moved/inner')] };
    await lamina.load(recipe('base', [layer]));
    const name = (tag: number): string => `${registry.host}/team/app:${tag}`;
    await succeed(lamina, 'push', 'base', name(0));
    await succeed(other, 'pull', name(0));
    await succeed(lamina, 'tag', 'base', name(0));
    for (const [at, script] of SCRIPTS.entries()) {
      await succeed(lamina, 'run', '--name', `c${at}`, name(at), 'sh', '-c', script);
      await succeed(lamina, 'commit', `c${at}`, name(at + 1));
      let before = registry.requests.length;
      await succeed(lamina, 'push', name(at + 1));
      expect(blobs(registry, before, 'PUT')).toHaveLength(2);
      before = registry.requests.length;
      await succeed(other, 'pull', name(at + 1));
      expect(blobs(registry, before, 'GET')).toHaveLength(2);
    }
    const last = name(SCRIPTS.length);
    const [ours, theirs] = [lamina, other].map(({ root }) => archived(merged(openStore(root), last)));
    expect(ours?.join('\n')).toMatch(/^data\/one 104711 .* links 2 with data\/linked$/m);
    expect(ours?.join('\n')).not.toMatch(/^(?:srv\/old\/inner|srv\/moved|data\/link) /m);
    expect(theirs).toEqual(ours);
    expect(archived(others.podmanTree(last))).toEqual(ours);
    expect(archived(others.buildahTree(last))).toEqual(ours);
    expect(archived(others.skopeoTree(last))).toEqual(ours);
    expect(openStore(lamina.root).resolve(last).manifests).toContain(others.digest(last));
  });
});

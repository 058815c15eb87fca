import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { openStore } from '../../runner/image/store.ts';
import { firstMissing, has, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, ociArchive, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { DockerRegistry, USER } from './docker-registry.ts';
import { LAYERS } from './exchanged-layers.ts';
import { temporary } from './ground.ts';
import { merged } from './merged.ts';
import { belowRoot, Others } from './others.ts';

const programs = ['docker-registry', 'podman', 'buildah', 'skopeo', 'umoci'].map(has);
const missing = firstMissing(isRoot(), hasKernelOverlay(), ...programs);

function manifestDigest(lamina: CommandLine, name: string): string {
  const [image] = JSON.parse(lamina.output(['image', 'inspect', name])) as [{ RepoDigests: string[] }];
  return image.RepoDigests.find((digest) => digest.startsWith(name.replace(/:[^:/]*$/, '')))?.replace(/^.*@/, '') ?? '';
}

describe.skipIf(missing)(titled('lamina and docker-registry', missing), () => {
  describe.each([false, true])('with basic authentication: %s', (basic) => {
    const archives: readonly [what: string, archive: Buffer][] = [
      ['plain layers', dockerArchive({ layers: LAYERS, names: ['app:1'], config: { Cmd: ['sh'] } })],
      ['gzip layers', ociArchive({ layers: LAYERS, names: ['docker.io/library/app:1'] }, (layer) => gzipSync(layer))],
    ];
    test.each(archives)('push of %s is what podman, buildah and skopeo pull', async (_what, archive) => {
      const registry = await DockerRegistry.open({ basic });
      const [lamina, others] = [new CommandLine(), new Others(registry)];
      lamina.output(['load'], archive);
      const name = `${registry.host}/team/app:1`;
      const creds = basic ? ['--creds', `${USER.name}:${USER.password}`] : [];
      const printed = lamina.output(['push', ...creds, 'app:1', name]);
      const digest = others.digest(name);
      expect(printed).toBe(`${name} (${digest})\n`);
      const store = openStore(lamina.root);
      expect(store.resolve('app:1').manifests).toEqual([digest]);
      const reference = belowRoot(merged(store, 'app:1'));
      expect(reference.join('\n')).toMatch(/^etc\/attributes .*security\.capability=.* user\.note=/m);
      expect(others.podmanTree(name)).toEqual(reference);
      expect(others.buildahTree(name)).toEqual(reference);
      expect(others.skopeoTree(name)).toEqual(reference);
      expect(others.podman('image', 'inspect', '--format', '{{.Digest}}', name)).toBe(digest);
    });

    test('pull takes what podman, buildah and skopeo push, in all formats', async () => {
      const registry = await DockerRegistry.open({ basic });
      const [lamina, others] = [new CommandLine(), new Others(registry)];
      const archive = join(temporary(), 'image.tar');
      writeFileSync(
        archive,
        dockerArchive({ layers: LAYERS, names: ['docker.io/library/app:1'], config: { Cmd: ['sh'] } }),
      );
      others.podman('load', '--quiet', '--input', archive);
      const local = 'docker.io/library/app:1';
      const to = (name: string): string => `docker://${registry.host}/team/${name}`;
      const plain = ['--tls-verify=false', '--quiet'];
      for (const format of ['oci', 'v2s2']) {
        others.podman('push', ...plain, '--format', format, local, to(`podman:${format}`));
        others.buildah('push', ...plain, '--format', format, local, to(`buildah:${format}`));
        const copy = ['copy', '--quiet', '--dest-tls-verify=false', '--format', format];
        others.skopeo(...copy, `docker-archive:${archive}`, to(`skopeo:${format}`));
      }
      const zstd = ['--format', 'oci', '--dest-compress', '--dest-compress-format', 'zstd'];
      others.skopeo('copy', '--quiet', '--dest-tls-verify=false', ...zstd, `docker-archive:${archive}`, to('zstd:oci'));
      lamina.output(['load'], dockerArchive({ layers: LAYERS, names: ['app:1'] }));
      const reference = belowRoot(merged(openStore(lamina.root), 'app:1'));
      const creds = basic ? ['--creds', `${USER.name}:${USER.password}`] : [];
      for (const tag of [
        'podman:oci',
        'podman:v2s2',
        'buildah:oci',
        'buildah:v2s2',
        'skopeo:oci',
        'skopeo:v2s2',
        'zstd:oci',
      ]) {
        const name = `${registry.host}/team/${tag}`;
        const fresh = new CommandLine();
        expect(fresh.output(['pull', ...creds, name])).toBe(`${name} (${others.digest(name)})\n`);
        expect(manifestDigest(fresh, name)).toBe(others.digest(name));
        expect(belowRoot(merged(openStore(fresh.root), name))).toEqual(reference);
        // And back, as it came.
        fresh.output(['push', ...creds, name, `${registry.host}/back/${tag}`]);
        expect(others.digest(`${registry.host}/back/${tag}`)).toBe(others.digest(name));
      }
    });
  });

  test('push asks for a login where it has none', async () => {
    const registry = await DockerRegistry.open({ basic: true });
    const lamina = new CommandLine();
    lamina.output(['load'], dockerArchive({ layers: LAYERS, names: ['app:1'] }));
    const name = `${registry.host}/team/app:1`;
    const refused = lamina.call(['push', 'app:1', name]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/cannot push app:1 to .*: .* asks for a login .*: lamina login 127/);
    expect(lamina.call(['push', '--creds', 'tester:wrong', 'app:1', name]).stderr).toMatch(/asks for a login/);
  });

  test('push of a layer more sends that layer alone, and pull fetches it alone; the second time nothing', async () => {
    const registry = await DockerRegistry.open();
    const [lamina, other] = [new CommandLine(), new CommandLine()];
    const [bottom, top] = LAYERS as [Buffer, Buffer];
    const more = tar({ name: 'more', data: 'more' });
    const blobs = (from: number, method: string): string[] =>
      registry.requests.slice(from).filter((line) => line.startsWith(method) && line.includes('/blobs/'));
    const name = (tag: string): string => `${registry.host}/team/app:${tag}`;
    lamina.output(['load'], dockerArchive({ layers: [bottom, top], names: ['app:1'] }));
    lamina.output(['push', 'app:1', name('1')]);
    // Two layers and the configuration.
    expect(blobs(0, 'PUT')).toHaveLength(3);
    other.output(['pull', name('1')]);
    lamina.output(['load'], dockerArchive({ layers: [bottom, top, more], names: ['app:2'] }));
    let before = registry.requests.length;
    const digestFile = join(temporary(), 'digest');
    lamina.output(['push', '--digestfile', digestFile, 'app:2', name('2')]);
    expect(blobs(before, 'PUT')).toHaveLength(2);
    expect(blobs(before, 'POST')).toHaveLength(2);
    before = registry.requests.length;
    other.output(['pull', name('2')]);
    expect(blobs(before, 'GET')).toHaveLength(2);
    before = registry.requests.length;
    other.output(['pull', name('2')]);
    lamina.output(['push', 'app:2', name('2')]);
    expect(blobs(before, 'GET')).toEqual([]);
    expect(blobs(before, 'PUT')).toEqual([]);
    before = registry.requests.length;
    // Into another repository of the registry no byte of a layer travels.
    lamina.output(['push', 'app:2', `${registry.host}/other/app:2`]);
    expect(blobs(before, 'PUT')).toEqual([]);
    expect(blobs(before, 'POST')).toHaveLength(4);
    expect(merged(openStore(other.root), name('2'))).toEqual(merged(openStore(lamina.root), 'app:2'));
  });
});

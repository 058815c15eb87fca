import { cpSync, existsSync, linkSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, sha256, tar } from './archives.ts';
import { startDockerRegistry } from './docker-registry.ts';
import { load, loadFile, newStore, run, snapshot, temporary } from './ground.ts';
import { merged } from './merged.ts';

const noSkopeo = firstMissing(isRoot(), has('skopeo'));

describe.skipIf(noSkopeo)(titled('Store read by skopeo', noSkopeo), () => {
  const layers = [tar({ name: 'f', data: 'x' }), tar({ name: '.wh.f' })];

  test('shows an image under its full name, and copies it out', async () => {
    const store = newStore();
    await load(store, dockerArchive({ layers, names: ['debian:12', 'ghcr.io/a/b:c'], config: { Env: ['A=1'] } }));
    for (const name of ['docker.io/library/debian:12', 'ghcr.io/a/b:c']) {
      const shown = JSON.parse(run('skopeo', 'inspect', `oci:${store.root}:${name}`)) as Record<string, unknown>;
      expect(shown).toMatchObject({ Env: ['A=1'], Layers: layers.map((layer) => `sha256:${sha256(layer)}`) });
    }
    const out = join(temporary(), 'out.tar');
    run('skopeo', 'copy', `oci:${store.root}:ghcr.io/a/b:c`, `docker-archive:${out}:x:y`);
    const other = newStore();
    await loadFile(other, out);
    expect(other.resolve('x:y').id).toBe(store.resolve('debian:12').id);
  });
});

const noUmoci = firstMissing(isRoot(), has('skopeo'), has('umoci'), hasKernelOverlay());

describe.skipIf(noUmoci)(titled('loadArchive of an image made by umoci', noUmoci), () => {
  /** Three layers with whiteouts that umoci itself wrote, and an opaque directory. */
  function makeImage(): string {
    const base = temporary();
    const image = (tag: string): string => `${base}/oci:${tag}`;
    run('umoci', 'init', '--layout', join(base, 'oci'));
    run('umoci', 'new', '--image', image('v1'));
    run('umoci', 'unpack', '--image', image('v1'), join(base, 'bundle'));
    const root = join(base, 'bundle/rootfs');
    for (const name of ['gone', 'kept', 'swap', 'opaque/inner']) {
      mkdirSync(join(root, name), { recursive: true });
      writeFileSync(join(root, name, 'file'), name);
    }
    writeFileSync(join(root, 'kept/gone'), '');
    writeFileSync(Buffer.from(join(root, 'caf\xe9'), 'latin1'), 'bytes', { mode: 0o4755 });
    linkSync(join(root, 'kept/file'), join(root, 'kept/linked'));
    symlinkSync('../../etc', join(root, 'kept/symlink'));
    run('umoci', 'repack', '--refresh-bundle', '--image', image('v1'), join(base, 'bundle'));
    for (const name of ['gone', 'kept/gone', 'swap']) rmSync(join(root, name), { recursive: true });
    writeFileSync(join(root, 'swap'), 'a file now');
    run('umoci', 'repack', '--image', image('v2'), join(base, 'bundle'));
    const opaque = join(base, 'opaque.tar');
    writeFileSync(
      opaque,
      tar(
        { name: 'opaque/', type: '5', mode: 0o711, mtime: 5 },
        { name: 'opaque/.wh..wh..opq' },
        { name: 'opaque/new', data: 'new', pax: { mtime: '7.123456789' } },
      ),
    );
    run('umoci', 'raw', 'add-layer', '--image', image('v2'), '--tag', 'v3', opaque);
    return base;
  }

  test('shows what umoci unpacks, from an OCI archive and a docker-archive', async () => {
    const base = makeImage();
    run('umoci', 'unpack', '--image', `${base}/oci:v3`, join(base, 'reference'));
    const reference = snapshot(join(base, 'reference/rootfs'));
    expect(reference.join('\n')).toMatch(/^caf\xe9 104755/m);
    for (const format of ['oci-archive', 'docker-archive']) {
      const archive = join(base, `${format}.tar`);
      run('skopeo', 'copy', `oci:${base}/oci:v3`, `${format}:${archive}:image:${format}`);
      const store = newStore();
      await loadFile(store, archive);
      expect(merged(store, `image:${format}`)).toEqual(reference);
    }
  });

  test('shows the same when umoci unpacks our store', async () => {
    const base = makeImage();
    const archive = join(base, 'archive.tar');
    run('skopeo', 'copy', `oci:${base}/oci:v3`, `oci-archive:${archive}:image:v3`);
    const store = newStore();
    await loadFile(store, archive);
    const copy = join(base, 'copy');
    cpSync(join(store.root, 'blobs'), join(copy, 'blobs'), { recursive: true });
    for (const name of ['index.json', 'oci-layout']) cpSync(join(store.root, name), join(copy, name));
    run('umoci', 'unpack', '--image', `${copy}:docker.io/library/image:v3`, join(base, 'ours'));
    expect(snapshot(join(base, 'ours/rootfs'))).toEqual(merged(store, 'image:v3'));
  });
});

// A directory that test/support/make-debian-image.sh filled: making it takes root, a mirror and a minute.
const debian = process.env['LAMINA_DEBIAN_IMAGE'] ?? '';
const noDebian = firstMissing(
  noUmoci,
  existsSync(join(debian, 'debian.oci.tar')) ? undefined : 'LAMINA_DEBIAN_IMAGE names no directory with the image',
);

describe.skipIf(noDebian)(titled('loadArchive of Debian', noDebian), () => {
  test('shows what umoci unpacks, entry by entry', async () => {
    const base = temporary();
    run('umoci', 'unpack', '--image', `${debian}/debian-oci:v6`, join(base, 'reference'));
    const reference = snapshot(join(base, 'reference/rootfs'));
    expect(reference.length).toBeGreaterThan(5000);
    for (const format of ['oci', 'docker']) {
      const store = newStore();
      const [image] = await loadFile(store, join(debian, `debian.${format}.tar`));
      expect(merged(store, image?.id ?? '')).toEqual(reference);
    }
  });
});

const noRegistry = firstMissing(isRoot(), has('skopeo'), has('docker-registry'));

describe.skipIf(noRegistry)(titled('lamina pull from docker-registry', noRegistry), () => {
  const layers = [tar({ name: 'etc/', type: '5' }, { name: 'etc/f', data: 'x' }), tar({ name: 'etc/.wh.f' })];

  test('takes what skopeo has pushed, and the same digest', async () => {
    const host = await startDockerRegistry();
    const archive = join(temporary(), 'image.tar');
    writeFileSync(archive, dockerArchive({ layers, names: ['app:1'], config: { Cmd: ['sh'] } }));
    const name = `${host}/team/app:1`;
    run('skopeo', 'copy', '--dest-tls-verify=false', `docker-archive:${archive}`, `docker://${name}`);
    const root = join(temporary(), 'store');
    const lamina = (...parameters: readonly string[]): string =>
      run('env', `LAMINA_ROOT=${root}`, process.execPath, join(DIST, 'cli/lamina.js'), ...parameters);
    const shown = JSON.parse(run('skopeo', 'inspect', '--tls-verify=false', `docker://${name}`)) as { Digest: string };
    expect(lamina('pull', name)).toBe(`${name} (${shown.Digest})\n`);
    const [image] = JSON.parse(lamina('image', 'inspect', name)) as [
      { RootFS: { Layers: string[] }; Config: { Cmd: string[] } },
    ];
    expect(image.RootFS.Layers).toEqual(layers.map((layer) => `sha256:${sha256(layer)}`));
    expect(image.Config.Cmd).toEqual(['sh']);
    expect(lamina('pull', '--quiet', `${host}/team/app@${shown.Digest}`)).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  });
});

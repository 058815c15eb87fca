import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from '../command.ts';
import { type Sources } from '../sources.ts';

/** What the image is called in every store. */
export const IMAGE_NAME = 'localhost/bench:1';

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** The image as `docker save` writes it: each layer a plain tar. */
export function imageArchive(sources: Sources): Promise<string> {
  return sources.once('container-image', async (path) => {
    await mkdir(path);
    // Archives have the lowest layer first.
    const layers = [...(await sources.image())].reverse();
    const names = layers.map((_, index) => `layer-${index}.tar`);
    const digests: string[] = [];
    for (const [index, layer] of layers.entries()) {
      const archive = join(path, names[index] ?? '');
      await run(['tar', '-C', layer, '--xattrs', '-cf', archive, '.']);
      digests.push(`sha256:${await digestOf(archive)}`);
    }
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/usr/bin:/bin'], Cmd: ['true'] },
      rootfs: { type: 'layers', diff_ids: digests },
    };
    await writeFile(join(path, 'config.json'), JSON.stringify(config));
    const manifest = [{ Config: 'config.json', RepoTags: [IMAGE_NAME], Layers: names }];
    await writeFile(join(path, 'manifest.json'), JSON.stringify(manifest));
    const archive = `${path}.tar`;
    await run(['tar', '-C', path, '-cf', archive, 'manifest.json', 'config.json', ...names]);
    return archive;
  });
}

/** A plain directory with the whole image, and an OCI configuration beside it that starts `true` in it. */
export function bundle(sources: Sources): Promise<string> {
  return sources.once('bundle', async (path) => {
    await mkdir(join(path, 'rootfs'), { recursive: true });
    for (const layer of [...(await sources.image())].reverse()) {
      await run(['cp', '-a', `${layer}/.`, join(path, 'rootfs')]);
    }
    await writeFile(join(path, 'config.json'), JSON.stringify(configuration(join(path, 'rootfs'))));
    return path;
  });
}

/** As little as a container needs, and what lamina gives its own: namespaces and proc. */
function configuration(root: string): object {
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['true'], env: ['PATH=/usr/bin:/bin'], cwd: '/' },
    root: { path: root },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  };
}

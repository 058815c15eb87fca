import { type ImageRecipe, type Layer, programLayer } from '../../../runner/demo/image.ts';
import { extraProgram } from '../lamina.ts';

const PROGRAMS = ['cut', 'grep', 'sed', 'seq', 'stty', 'tty'];

const FILES: Layer = {
  title: 'files to work on',
  entries: [
    { type: 'file', name: 'bin/plain', content: 'no program\n', mode: 0o644 },
    { type: 'file', name: 'bin/garbage', content: 'no program\n', mode: 0o755 },
    { type: 'directory', name: 'data' },
    { type: 'file', name: 'data/of-image', content: 'of the image\n' },
    { type: 'file', name: 'srv/file', content: 'a file\n' },
    { type: 'directory', name: 'srv/tree' },
    { type: 'file', name: 'srv/tree/leaf', content: 'a leaf\n' },
    { type: 'symlink', name: 'srv/link', target: 'file' },
  ],
};

/** The image that most containers are made of. */
export const BASE = 'localhost/base';

/** The images that the table's containers are made of: `BASE` and some with another configuration. */
export async function tableImages(): Promise<readonly ImageRecipe[]> {
  const layers = [await programLayer(), { title: 'more programs', entries: programs() }, FILES];
  const Env = ['PATH=/bin', 'FROM_IMAGE=yes'];
  const image = (name: string, config: ImageRecipe['config'] = {}): ImageRecipe => ({
    name,
    layers,
    config: { Env, Cmd: ['/bin/sh'], Labels: { origin: 'table' }, ...config },
  });
  return [
    image(BASE),
    image('localhost/entry', { Entrypoint: ['/bin/echo', 'entry'], Cmd: ['of', 'image'] }),
    image('localhost/asks', { User: 'guest', WorkingDir: '/srv/made', StopSignal: 'SIGINT', Volumes: { '/data': {} } }),
  ];
}

// Some of them load the same libraries.
function programs(): Layer['entries'] {
  const all = PROGRAMS.flatMap((name) => extraProgram(name).entries);
  return [...new Map(all.map((entry) => [entry.name, entry])).values()];
}

import { mkdir } from 'node:fs/promises';
import { capture, hasProgram, run } from '../command.ts';
import { type Contender, mountOptions } from './contender.ts';
import { mountDaemon } from './daemon.ts';
import { lamina, type LaminaVariant } from './lamina.ts';
import { kernelContenders } from './overlayfs.ts';

const FUSE_OVERLAYFS: Contender = {
  name: 'fuse-overlayfs',
  description:
    'with its own defaults: it syncs no file that it copies up, which overlayfs and lamina do unless volatile',
  hasDaemon: true,
  async missing() {
    return (await hasProgram('fuse-overlayfs')) ? undefined : 'apt-get install fuse-overlayfs';
  },
  command: (union, path) => ['fuse-overlayfs', '-o', mountOptions(union, path), path],
  mount: (union, path) => mountDaemon(['fuse-overlayfs', '-f', '-o', mountOptions(union, path), path], path),
};

const VARIANTS: readonly LaminaVariant[] = [
  {
    name: 'lamina-indexed',
    description:
      'with an index of each lower layer (lamina index), as the layers of images have: made before, not measured',
    isIndexed: true,
  },
  {
    name: 'lamina-metacopy',
    description: 'with metacopy=on: chown and chmod of a lower file copy no data',
    extra: ['metacopy=on'],
    rootful: 'metacopy needs trusted xattrs, which a user namespace does not give',
  },
  {
    name: 'lamina-no-open',
    description: 'with no_open=on: the kernel opens files without asking, and passes none through',
    extra: ['no_open=on'],
  },
  {
    name: 'lamina-passthrough',
    description: 'with passthrough=all: the kernel reads the data of lower files by itself, too',
    extra: ['passthrough=all'],
    rootful: 'passthrough needs CAP_SYS_ADMIN in the initial user namespace',
  },
  {
    name: 'lamina-volatile',
    description: 'with volatile: it syncs nothing, as fuse-overlayfs never does',
    extra: ['volatile'],
  },
  { name: 'fuse-native', description: 'lamina through libfuse 2.9', extra: ['backend=fuse-native'] },
];

/** The tree on the filesystem itself, with no union: what remains is the cost of the work. */
function plainDirectory(ours: Contender): Contender {
  return {
    name: 'ext4',
    description: 'a plain directory with a copy of the union',
    hasDaemon: false,
    async missing({ scratch }) {
      const type = (await capture(['findmnt', '-n', '-o', 'FSTYPE', '-T', scratch])).trim();
      return type === 'ext4' ? undefined : `${scratch} is on ${type} (TMPDIR=DIRECTORY chooses another)`;
    },
    async mount(union, path) {
      if (union.upper === undefined) throw new Error('a plain directory is no read-only union');
      const merged = `${path}.source`;
      await mkdir(merged, { recursive: true });
      const source = await ours.mount({ lowers: union.lowers }, merged);
      await run(['cp', '-a', `${merged}/.`, path]).finally(() => source.unmount());
      return { unmount: () => Promise.resolve() };
    },
  };
}

/** What is measured against the peers: lamina as built in `distribution`. */
export function createLamina(distribution: string): Contender {
  return lamina(distribution, { name: 'lamina' });
}

/** Every peer by its name. */
export function createPeers(distribution: string, rootless = false): Contender[] {
  const variants = VARIANTS.map((variant) => lamina(distribution, variant));
  return [...kernelContenders(rootless), FUSE_OVERLAYFS, ...variants, plainDirectory(createLamina(distribution))];
}

import { chmod, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

async function unpack(site: Site): Promise<void> {
  await site.run('tar', '-C', site.root, '-xf', await site.sources.archive());
}

const FILES_PER_MODULE = 12;
// npm's own default for what it unpacks at once.
const PARALLEL = 16;
const CONTENT = 'module.exports = (value) => value + 1;\n'.repeat(40);

/** As npm unpacks one package: into a temporary name, mode by mode, and renamed at the end; its command is linked. */
async function installModule(modules: string, index: number): Promise<void> {
  const part = join(modules, `.module-${index}-part`);
  await mkdir(join(part, 'lib/internal'), { recursive: true });
  for (let file = 0; file < FILES_PER_MODULE; file++) {
    const path = join(part, file % 3 === 0 ? 'lib/internal' : 'lib', `file-${file}.js`);
    await writeFile(path, CONTENT, { flag: 'wx' });
    await chmod(path, 0o644);
  }
  await rename(part, join(modules, `module-${index}`));
  await symlink(`../module-${index}/lib/file-1.js`, join(modules, '.bin', `module-${index}`));
}

async function install(site: Site): Promise<void> {
  const modules = join(site.root, 'node_modules');
  await mkdir(join(modules, '.bin'), { recursive: true });
  let next = 0;
  const { modules: count } = site.sources.sizes;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      while (next < count) await installModule(modules, next++);
    }),
  );
}

/** Making and removing many files. */
export const trees: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'untar',
    description: `tar -x of ${sizes.archive} small files`,
    operations: sizes.archive,
    // Makes the archive, and reads it into the page cache.
    prepare: async (site) => site.run('cat', await site.sources.archive()),
    measure: unpack,
  },
  {
    name: 'rm',
    description: `rm -rf of ${sizes.archive} small files`,
    removes: true,
    operations: sizes.archive,
    prepare: unpack,
    measure: (site) => site.run('rm', '-r', join(site.root, 'tree')),
  },
  {
    name: 'npm-tree',
    description: `${sizes.modules} packages of ${FILES_PER_MODULE} files made as npm ci makes them, ${PARALLEL} at once`,
    operations: sizes.modules * FILES_PER_MODULE,
    measure: install,
  },
];

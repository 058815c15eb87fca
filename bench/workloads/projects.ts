import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasProgram, run } from '../command.ts';
import { type Ground } from '../ground.ts';
import { type Sources, writeSmallFiles } from '../sources.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

const MAKEFILE = `OBJECTS := $(patsubst %.c,%.o,$(wildcard source/*.c))
program: $(OBJECTS)
\t$(CC) -o $@ $^
%.o: %.c include/common.h
\t$(CC) -Iinclude -O0 -c -o $@ $<
`;

/** One C file that calls the next. */
function sourceText(index: number, count: number): string {
  const isLast = index + 1 === count;
  return [
    '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include "common.h"\n',
    isLast ? '' : `int step_${index + 1}(int value);\n`,
    `int step_${index}(int value) { return ${isLast ? 'value' : `step_${index + 1}(value + 1)`}; }\n`,
    index === 0 ? 'int main(void) { return printf("%d\\n", step_0(LIMIT)) < 0; }\n' : '',
  ].join('');
}

/** A layer with a C project in the directory `project`. */
function project(sources: Sources): Promise<string> {
  const count = sources.sizes.project;
  return sources.once('project', async (layer) => {
    const directory = join(layer, 'project');
    for (const name of ['source', 'include']) await mkdir(join(directory, name), { recursive: true });
    await writeFile(join(directory, 'Makefile'), MAKEFILE);
    await writeFile(join(directory, 'include/common.h'), '#define LIMIT 1\n');
    for (let index = 0; index < count; index++) {
      await writeFile(join(directory, 'source', `step-${index}.c`), sourceText(index, count));
    }
    return layer;
  });
}

// Nobody's configuration; the repository may be another user's.
const GIT = ['git', '-c', 'safe.directory=*', '-c', 'user.name=bench', '-c', 'user.email=bench@localhost'] as const;

/** A layer with a git repository in the directory `repository`, all of it committed. */
function repository(sources: Sources): Promise<string> {
  return sources.once('repository', async (layer) => {
    const directory = join(layer, 'repository');
    await writeSmallFiles(directory, sources.sizes.repository);
    const git = (...parameters: readonly string[]): Promise<void> => run([...GIT, '-C', directory, ...parameters]);
    await git('init', '--quiet');
    await git('add', '.');
    await git('commit', '--quiet', '--message', 'all');
    return layer;
  });
}

const status = (site: Site): Promise<void> =>
  site.run(...GIT, '-C', join(site.root, 'repository'), 'status', '--short');

const PACKAGE = 'lamina-bench';

/** A Debian package of many small files. */
function debianPackage(sources: Sources): Promise<string> {
  return sources.once('package', async (directory) => {
    await writeSmallFiles(join(directory, 'usr/share', PACKAGE), sources.sizes.package);
    await mkdir(join(directory, 'DEBIAN'), { mode: 0o755 });
    const control = { Package: PACKAGE, Version: '1', Architecture: 'all', Maintainer: 'nobody', Description: 'files' };
    const text = Object.entries(control).map(([name, value]) => `${name}: ${value}\n`);
    await writeFile(join(directory, 'DEBIAN/control'), text.join(''));
    await run(['dpkg-deb', '--build', '-Zgzip', directory, `${directory}.deb`]);
    return `${directory}.deb`;
  });
}

async function isInImage(sources: Sources, path: string): Promise<boolean> {
  const tried = (await sources.image()).map((layer) =>
    access(join(layer, path)).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(tried)).includes(true);
}

async function dpkgMissing({ sources }: Ground): Promise<string | undefined> {
  if (!(await hasProgram('dpkg-deb'))) return 'apt-get install dpkg, which makes the package';
  const known = await isInImage(sources, 'var/lib/dpkg/status');
  return known ? undefined : 'the image has no dpkg: --root takes a Debian root';
}

async function copyPackage(site: Site): Promise<void> {
  await site.run('cp', await debianPackage(site.sources), join(site.root, 'package.deb'));
}

const needs = (program: string) => async (): Promise<string | undefined> =>
  (await hasProgram(program)) ? undefined : `apt-get install ${program}`;

/** What people do in containers. */
export const projects: WorkloadGroup = ({ sizes }): Workload[] => [
  {
    name: 'compile',
    description: `make -j2 of a C project of ${sizes.project} files`,
    operations: sizes.project,
    missing: async () => (await needs('gcc')()) ?? (await needs('make')()),
    lowers: async (sources) => [await project(sources)],
    measure: (site) => site.run('make', '-s', '-j2', '-C', join(site.root, 'project')),
  },
  {
    name: 'git-status',
    description: `git status of a tree of ${sizes.repository} files, again`,
    operations: sizes.repository,
    missing: needs('git'),
    lowers: async (sources) => [await repository(sources)],
    prepare: status,
    measure: status,
  },
  {
    name: 'dpkg',
    description: `dpkg -i of a package of ${sizes.package} files in a chroot in the image`,
    operations: sizes.package,
    missing: dpkgMissing,
    prepare: copyPackage,
    measure: (site) =>
      site.run('env', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'chroot', site.root, 'dpkg', '-i', '/package.deb'),
  },
];

import { capture, hasProgram, run } from '../command.ts';
import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { type Sources } from '../sources.ts';
import { type Site, type Workload, type WorkloadGroup } from '../workload.ts';

const START_LOOP = 'i=0; while [ $i -lt "$0" ]; do /usr/bin/true; i=$((i+1)); done';
const REPEAT = 'n=$0; i=0; while [ $i -lt "$n" ]; do "$@" || exit 1; i=$((i+1)); done';

const PERL_MODULES = [
  'POSIX',
  'Encode',
  'Math::BigFloat',
  'HTTP::Tiny',
  'Pod::Usage',
  'Test::More',
  'Storable',
  'CPAN::Meta',
];
const PERL_PATHS = 'print join "\\n", @Config{"privlib", "archlib"}';
const PYTHON_MODULES =
  'asyncio, json, email.mime.text, http.client, logging.config, sqlite3, unittest, xml.dom.minidom';
const PYTHON_PATHS = 'import sys, sysconfig; print(sys.executable); print(sysconfig.get_path("stdlib"))';

const perlCommand = ['perl', ...PERL_MODULES.map((name) => `-M${name}`), '-e', '0'] as const;

async function lines(...command: readonly [string, ...string[]]): Promise<string[]> {
  return (await capture(command)).trim().split('\n');
}

/** A layer with the machine's own modules in the directory `modules`, without what was installed later. */
function modulesOf(sources: Sources, language: string, paths: () => Promise<string[]>): Promise<string> {
  return sources.once(language, async (layer) => {
    const target = join(layer, 'modules');
    await mkdir(target, { recursive: true });
    const copy =
      'tar -C "$0" --exclude=./site-packages --exclude=./dist-packages --exclude=./test -cf - . | tar -C "$1" -xf -';
    for (const path of await paths()) await run(['sh', '-c', copy, path, target]);
    return layer;
  });
}

const perlModules = (sources: Sources): Promise<string> =>
  modulesOf(sources, 'perl', () => lines('perl', '-MConfig', '-e', PERL_PATHS));

const pythonModules = (sources: Sources): Promise<string> =>
  modulesOf(sources, 'python', async () => (await lines('python3', '-c', PYTHON_PATHS)).slice(1));

async function perl(site: Site, times: number): Promise<void> {
  await site.run('env', `PERL5LIB=${join(site.root, 'modules')}`, 'sh', '-c', REPEAT, `${times}`, ...perlCommand);
}

async function python(site: Site, times: number): Promise<void> {
  // The program itself, as python3 may be a script that looks for it.
  const [program = 'python3'] = await lines('python3', '-c', PYTHON_PATHS);
  const command = [program, '-B', '-c', `import ${PYTHON_MODULES}`];
  await site.run('env', `PYTHONPATH=${join(site.root, 'modules')}`, 'sh', '-c', REPEAT, `${times}`, ...command);
}

async function works(...command: readonly [string, ...string[]]): Promise<boolean> {
  const [program] = command;
  return (
    (await hasProgram(program)) &&
    run(command).then(
      () => true,
      () => false,
    )
  );
}

/** Starting programs. */
export const start: WorkloadGroup = ({ sizes: { starts, scripts } }): Workload[] => [
  {
    name: 'processes',
    description: `${starts} starts of true in a chroot in the image`,
    operations: starts,
    prepare: (site) => site.run('chroot', site.root, '/usr/bin/sh', '-c', START_LOOP, '1'),
    measure: (site) => site.run('chroot', site.root, '/usr/bin/sh', '-c', START_LOOP, `${starts}`),
  },
  {
    name: 'perl',
    description: `${scripts} starts of perl with ${PERL_MODULES.length} large modules`,
    operations: scripts,
    missing: async () => ((await works(...perlCommand)) ? undefined : 'apt-get install perl'),
    lowers: async (sources) => [await perlModules(sources), ...(await sources.image())],
    prepare: (site) => perl(site, 1),
    measure: (site) => perl(site, scripts),
  },
  {
    name: 'python',
    description: `${scripts} starts of python3 with many modules`,
    operations: scripts,
    missing: async () =>
      (await works('python3', '-c', `import ${PYTHON_MODULES}`)) ? undefined : 'apt-get install python3',
    lowers: async (sources) => [await pythonModules(sources), ...(await sources.image())],
    prepare: (site) => python(site, 1),
    measure: (site) => python(site, scripts),
  },
];

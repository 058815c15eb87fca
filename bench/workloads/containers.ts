import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasProgram } from '../command.ts';
import { type Ground } from '../ground.ts';
import { type Program, type Site, type Workload, type WorkloadGroup } from '../workload.ts';
import { bundle, IMAGE_NAME, imageArchive } from './container-image.ts';

type Command = readonly [string, ...string[]];

async function needing(...programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) if (!(await hasProgram(program))) return `apt-get install ${program}`;
  return undefined;
}

async function often(site: Site, times: number, command: Command): Promise<void> {
  for (let count = 0; count < times; count++) await site.run(...command);
}

const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;

interface Lamina {
  readonly name: string;
  readonly distribution: string;
  readonly flags: readonly string[];
}

/** lamina with a store of its own, which has the image. */
function lamina({ name, distribution, flags }: Lamina, times: number): Program {
  const commandIn = (store: string, ...parameters: readonly string[]): Command => [
    // What the path has, which starts the `node` of the path: this one.
    ...(['env', `LAMINA_ROOT=${store}`, `PATH=${PATH}`, join(distribution, 'cli/lamina')] as const),
    ...parameters,
  ];
  const store = (site: Site): Promise<string> =>
    site.sources.once('lamina-store', async (path) => {
      await site.run(...commandIn(path, 'load', '-i', await imageArchive(site.sources)));
      return path;
    });
  return {
    name,
    missing: () => Promise.resolve(undefined),
    async prepare(site) {
      await store(site);
    },
    measure: async (site) =>
      often(site, times, commandIn(await store(site), 'run', '--rm', ...flags, IMAGE_NAME, 'true')),
  };
}

// crun takes cgroups of version 1 or 2, not both at once; runc does.
const CGROUP2_OF_HYBRID = '/sys/fs/cgroup/unified';
const IS_HYBRID = existsSync(CGROUP2_OF_HYBRID);
const RUNTIME = IS_HYBRID ? 'runc' : 'crun';

interface Podman {
  readonly name: string;
  /** The directory of its store: podman takes no longer path than 50 bytes for what is in it. */
  readonly directory: string;
  readonly mountProgram?: string;
}

/** podman with a store of its own, and nothing that lamina does not have: no network of its own, and no cgroup where that can be. */
function podman({ name, directory, mountProgram }: Podman, times: number): Program {
  const commandIn = (store: string, ...parameters: readonly string[]): Command => [
    ...([
      'env',
      `CONTAINERS_CONF=${store}/containers.conf`,
      'podman',
      '--root',
      join(store, 'root'),
      '--runroot',
      join(store, 'r'),
    ] as const),
    ...[
      '--runtime',
      RUNTIME,
      '--cgroup-manager',
      'cgroupfs',
      '--events-backend',
      'none',
      '--storage-driver',
      'overlay',
    ],
    // Else it leaves a mount on its store.
    ...['--storage-opt', 'overlay.skip_mount_home=true'],
    ...(mountProgram === undefined ? [] : ['--storage-opt', `overlay.mount_program=${mountProgram}`]),
    ...parameters,
  ];
  const store = (site: Site): Promise<string> =>
    site.sources.once(directory, async (path) => {
      await mkdir(path);
      // podman's own limits are above what a machine may allow.
      await writeFile(join(path, 'containers.conf'), '[containers]\ndefault_ulimits = []\n');
      await site.run(...commandIn(path, 'load', '--quiet', '--input', await imageArchive(site.sources)));
      return path;
    });
  // runc knows no container without a cgroup.
  const cgroups = RUNTIME === 'crun' ? ['--cgroups', 'disabled'] : [];
  const runs = [
    'run',
    '--rm',
    '--network',
    'host',
    '--ulimit',
    'host',
    ...cgroups,
    '--pull',
    'never',
    IMAGE_NAME,
    'true',
  ];
  return {
    name,
    missing: () => needing('podman', RUNTIME, ...(mountProgram === undefined ? [] : ['fuse-overlayfs'])),
    async prepare(site) {
      await store(site);
    },
    measure: async (site) => often(site, times, commandIn(await store(site), ...runs)),
  };
}

interface Runtime {
  readonly program: string;
  readonly flags?: readonly string[];
  /** Has its words run in other surroundings. */
  readonly around?: readonly string[];
}

/** Neither a cgroup for the container, nor a look at a hierarchy that it does not take. */
const CRUN: Runtime = {
  program: 'crun',
  flags: ['--cgroup-manager=disabled'],
  around: IS_HYBRID ? ['unshare', '--mount', 'sh', '-c', `umount ${CGROUP2_OF_HYBRID} && exec "$@"`, 'sh'] : [],
};

// A shell's loop, so that what is around is there once.
const OFTEN =
  'times=$1 node=$2; shift 2; while [ $times -gt 0 ]; do "$@" && "$node" -e 0 || exit; times=$((times - 1)); done';

/** An OCI runtime on a bundle that is ready, and what Node itself takes to start: about the least that lamina could. */
function runtime({ program, flags = [], around = [] }: Runtime, times: number): Program {
  return {
    name: `${program}-and-node`,
    missing: () => needing(program),
    async prepare(site) {
      await bundle(site.sources);
    },
    async measure(site) {
      const path = await bundle(site.sources);
      const run = [program, ...flags, '--root', join(site.spare, 'state'), 'run', '--bundle', path, 'lamina-bench'];
      const [first = 'sh', ...rest] = [...around, 'sh', '-c', OFTEN, 'sh', `${times}`, process.execPath, ...run];
      await site.run(first, ...rest);
    },
  };
}

const node = (times: number): Program => ({
  name: 'node',
  missing: () => Promise.resolve(undefined),
  measure: (site) => often(site, times, [process.execPath, '-e', '0']),
});

const missing = ({ rootless }: Ground): Promise<string | undefined> =>
  Promise.resolve(rootless === true ? 'a container in this user namespace is no rootless container' : undefined);

/** Containers, from the command to its end. */
export const containers: WorkloadGroup = ({ sizes: { mounts: times }, distribution }): Workload[] => [
  {
    name: 'container',
    description: `${times} times start and stop of true in a container; crun and runc have a bundle ready, and node -e 0 starts after them`,
    missing,
    programs: [
      // With the host's network, as all others here.
      lamina({ name: 'lamina', distribution, flags: ['--network', 'host'] }, times),
      lamina({ name: 'lamina-own-network', distribution, flags: [] }, times),
      podman({ name: 'podman-overlayfs', directory: 'po' }, times),
      podman({ name: 'podman-fuse-overlayfs', directory: 'pf', mountProgram: '/usr/bin/fuse-overlayfs' }, times),
      runtime(CRUN, times),
      runtime({ program: 'runc' }, times),
      node(times),
    ],
    measure: () => {
      throw new Error('its programs are measured');
    },
  },
];

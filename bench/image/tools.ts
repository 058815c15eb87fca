import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandLine, hasProgram } from '../command.ts';
import { IMAGE } from './registry.ts';

/** One of those compared. A store is a directory of its own, new for each round. */
export interface Tool {
  readonly name: string;
  /** Why it cannot take part; undefined where it can. */
  missing(): Promise<string | undefined>;
  pull(store: string, host: string): CommandLine;
  /** Gives the image that came from one registry the name that it is to have in another. */
  tag(store: string, from: string, to: string): CommandLine;
  push(store: string, host: string): CommandLine;
  /** Runs a command in a container, which stays. */
  run(store: string, host: string, name: string, command: CommandLine): CommandLine;
  commit(store: string, name: string, image: string): CommandLine;
}

/** @param distribution where the compiled program lies. */
export function createLamina(distribution: string): Tool {
  const program = join(distribution, 'cli/lamina.js');
  const lamina = (store: string, ...parameters: string[]): CommandLine => [
    'env',
    `LAMINA_ROOT=${join(store, 'lamina')}`,
    process.execPath,
    program,
    ...parameters,
  ];
  return {
    name: 'lamina',
    missing: () => Promise.resolve(undefined),
    pull: (store, host) => lamina(store, 'pull', '--quiet', '--tls-verify=false', `${host}/${IMAGE}`),
    tag: (store, from, to) => lamina(store, 'tag', `${from}/${IMAGE}`, `${to}/${IMAGE}`),
    push: (store, host) => lamina(store, 'push', '--quiet', '--tls-verify=false', `${host}/${IMAGE}`),
    run: (store, host, name, command) => lamina(store, 'run', '--name', name, `${host}/${IMAGE}`, ...command),
    commit: (store, name, image) => lamina(store, 'commit', '--quiet', name, image),
  };
}

function createPodman(name: string, needed: readonly string[], storage: readonly string[]): Tool {
  const podman = (store: string, ...parameters: string[]): CommandLine => [
    'podman',
    ...['--root', join(store, 'root'), '--runroot', join(store, 'run'), '--tmpdir', join(store, 'tmp')],
    ...['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', '--events-backend', 'file'],
    ...['--storage-driver', 'overlay', ...storage.flatMap((option) => ['--storage-opt', option])],
    ...parameters,
  ];
  const confined = ['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
  return {
    name,
    missing: async () => {
      for (const program of ['podman', 'runc', ...needed]) {
        if (!(await hasProgram(program))) return `${program} is not installed`;
      }
      return undefined;
    },
    pull: (store, host) => podman(store, 'pull', '--quiet', '--tls-verify=false', `${host}/${IMAGE}`),
    tag: (store, from, to) => podman(store, 'tag', `${from}/${IMAGE}`, `${to}/${IMAGE}`),
    push: (store, host) => podman(store, 'push', '--quiet', '--tls-verify=false', `${host}/${IMAGE}`),
    run: (store, host, container, command) =>
      podman(store, 'run', ...confined, '--name', container, `${host}/${IMAGE}`, ...command),
    commit: (store, container, image) => podman(store, 'commit', '--quiet', container, image),
  };
}

/** podman with each of the filesystems that it can have its containers on. */
export const PODMANS: readonly Tool[] = [
  createPodman('podman', [], []),
  createPodman('podman-fuse', ['fuse-overlayfs'], ['overlay.mount_program=/usr/bin/fuse-overlayfs']),
];

/** A store's directory, with what is in it that must be there first. */
export async function makeStore(path: string): Promise<string> {
  await mkdir(join(path, 'tmp'), { recursive: true });
  return path;
}

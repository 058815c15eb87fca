import { openSync, readlinkSync } from 'node:fs';
import { check } from '../../fs/sys/errno.ts';
import { CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWUTS, pidfdOpen } from '../../fs/sys/namespaces.ts';
import { ContainerStore } from './container-store.ts';
import { type NamespaceOptions, sharedContainer } from './options/namespaces.ts';
import { isAlive } from './process-identity.ts';
import { type JoinedNamespace, type NamespaceSpec, type SharedMemorySpec } from './spec.ts';
import { type StageProcesses, type StageUsers } from './stage-namespaces.ts';

/** Docker's size of /dev/shm, bytes. */
export const SHM_SIZE = 64 * 2 ** 20;

/**
 * @param shmSize bytes of /dev/shm.
 * @throws where a namespace is to be that of a container which does not run.
 */
export function namespaceSpecOf(options: NamespaceOptions, storeRoot: string, shmSize = SHM_SIZE): NamespaceSpec {
  const other = sharedContainer(options.ipc);
  const pid = other === undefined ? undefined : processOf(other, storeRoot, 'ipc', options);
  const named = sharedContainer(options.uts);
  const namedPid = named === undefined ? undefined : processOf(named, storeRoot, 'uts', options);
  const isOwn = { uts: options.uts === 'private', ipc: ['private', 'none'].includes(options.ipc) };
  const own =
    CLONE_NEWNS |
    (isOwn.uts ? CLONE_NEWUTS : 0) |
    (isOwn.ipc ? CLONE_NEWIPC : 0) |
    (options.cgroup === 'private' ? CLONE_NEWCGROUP : 0);
  return {
    own,
    joined: [...joinedOf(pid, 'ipc', CLONE_NEWIPC), ...joinedOf(namedPid, 'uts', CLONE_NEWUTS)],
    sharedMemory: sharedMemoryOf(options, pid, shmSize),
    timeOffsets: options.timeOffsets,
    foreignProcesses: options.pid !== 'private',
  };
}

/** The pid namespace that a container's stage is to be born in. */
export function stageProcessesOf(options: NamespaceOptions, storeRoot: string): StageProcesses {
  const { pid } = options;
  const other = sharedContainer(pid);
  if (other === undefined) return pid === 'host' ? 'inherited' : 'own';
  return check(pidfdOpen(processOf(other, storeRoot, 'pid', options)), `open the first process of container ${other}`);
}

/** What the user namespace of a container's stage is to be: a descriptor, which is the caller's to close, where it is another's. */
export function openStageUsers({ users }: NamespaceOptions, storeRoot: string): StageUsers {
  if (users === undefined) return 'inherited';
  if (users.container === undefined) return 'own';
  const { pid } = runningProcess(users.container, storeRoot, 'userns');
  return hasOurUsers(pid) ? 'inherited' : openSync(`/proc/${pid}/ns/user`, 'r');
}

/** A namespace belongs to a user namespace, and only who has all capabilities in that one may enter it. */
function processOf(reference: string, storeRoot: string, kind: string, { users }: NamespaceOptions): number {
  const { pid, supervisor } = runningProcess(reference, storeRoot, kind);
  if (users === undefined && (hasOurUsers(pid) || hasOurUsers(supervisor))) return pid;
  if (users?.container !== undefined) {
    const { pid: owner } = runningProcess(users.container, storeRoot, 'userns');
    if (usersOf(owner) === usersOf(pid)) return pid;
  }
  throw new Error(
    users === undefined
      ? `--${kind} container:${reference}: an ordinary user's containers have a user namespace each, which keeps them apart`
      : `--${kind} container:${reference}: that container has other users, who keep it apart: --userns container:${reference} has the same`,
  );
}

function runningProcess(
  reference: string,
  storeRoot: string,
  kind: string,
): { readonly pid: number; readonly supervisor: number } {
  const container = new ContainerStore(storeRoot).find(reference);
  const { status, init, supervisor } = container.readState();
  if (status === 'running' && init !== undefined && supervisor !== undefined && isAlive(init)) {
    return { pid: init.pid, supervisor: supervisor.pid };
  }
  throw new Error(`--${kind} container:${reference}: container ${container.config.name} does not run`);
}

function hasOurUsers(pid: number): boolean {
  return usersOf(pid) === usersOf('self');
}

function usersOf(pid: number | 'self'): string {
  return readlinkSync(`/proc/${pid}/ns/user`);
}

function joinedOf(pid: number | undefined, name: string, flag: number): JoinedNamespace[] {
  return pid === undefined ? [] : [namespaceOf(pid, name, flag)];
}

function namespaceOf(pid: number, name: string, flag: number): JoinedNamespace {
  const path = `/proc/${pid}/ns/${name}`;
  return { flag, path, link: readlinkSync(path) };
}

function sharedMemoryOf({ ipc }: NamespaceOptions, pid: number | undefined, size: number): SharedMemorySpec {
  if (ipc === 'none') return { kind: 'none' };
  if (ipc === 'host') return { kind: 'shared' };
  if (pid === undefined) return { kind: 'own', size };
  return { kind: 'shared', namespace: namespaceOf(pid, 'mnt', CLONE_NEWNS) };
}

import { closeSync, openSync } from 'node:fs';
import { check } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { CLONE_NEWNET, CLONE_NEWPID, setns } from '../../fs/sys/namespaces.ts';
import { makeNamespaces } from './namespace-advice.ts';

/** The network namespace of a stage: its caller's, one of its own, or that of a descriptor. */
export type StageNetwork = 'inherited' | 'own' | number;

/** The pid namespace of a stage: a new one, its caller's, or that of a process, by its pidfd, which is closed then. */
export type StageProcesses = 'own' | 'inherited' | number;

/** The user namespace of a stage: its caller's, a new one without any ids yet, or that of a descriptor. */
export type StageUsers = 'inherited' | 'own' | number;

/** The namespaces that a stage is started in. */
export interface StageNamespaces {
  readonly network: StageNetwork;
  readonly processes: StageProcesses;
  readonly users: StageUsers;
}

/** Has the children that this thread begins from now on born in a pid namespace. */
export function enterProcesses(processes: StageProcesses): void {
  if (processes === 'inherited') return;
  if (processes === 'own') makeNamespaces(CLONE_NEWPID, 'make a pid namespace');
  if (processes === 'own') return;
  const entered = setns(processes, CLONE_NEWPID);
  close(processes);
  check(entered, "enter the other container's pid namespace");
}

/**
 * A stage is born in its network namespace, so that the helper which connects that can start while the stage does.
 * Answers a descriptor of one that is new.
 */
export function enterNetwork(network: StageNetwork): number | undefined {
  if (network === 'inherited') return undefined;
  if (network === 'own') {
    makeNamespaces(CLONE_NEWNET, 'make a network namespace');
    return openSync('/proc/thread-self/ns/net', 'r');
  }
  check(setns(network, CLONE_NEWNET), "enter the other container's network namespace");
  return undefined;
}

/** What has been begun in namespaces, and a descriptor of its network namespace where that is new. */
export interface BegunInside<T> {
  readonly begun: T;
  readonly networkNamespace: number | undefined;
}

/**
 * Has a process that `begin` starts, without waiting for anything, born in namespaces. This thread is in its own again
 * after it; other threads never leave theirs.
 *
 * @returns undefined where the kernel would not let this thread come back, as where it is root in a user namespace that
 * is not its other namespaces' own: nothing is begun then.
 * @throws where there is no such namespace, and can be none.
 */
export function inNamespaces<T>(
  { network, processes }: Pick<StageNamespaces, 'network' | 'processes'>,
  begin: () => T,
): BegunInside<T> | undefined {
  const ways: WayBack[] = [];
  try {
    if (network !== 'inherited') ways.push(new WayBack(CLONE_NEWNET, 'net'));
    if (processes !== 'inherited') ways.push(new WayBack(CLONE_NEWPID, 'pid_for_children'));
    // Into what it is in already.
    if (ways.some((way) => way.take() !== 0)) return undefined;
    try {
      return beginInside(network, processes, begin);
    } finally {
      const taken = ways.map((way) => way.take());
      // Who calls must not go on: what it began next would be in there.
      check(Math.min(0, ...taken), 'come back from the namespaces of a container');
    }
  } finally {
    for (const way of ways) way.close();
  }
}

function beginInside<T>(network: StageNetwork, processes: StageProcesses, begin: () => T): BegunInside<T> {
  enterProcesses(processes);
  const networkNamespace = enterNetwork(network);
  try {
    return { networkNamespace, begun: begin() };
  } catch (error) {
    if (networkNamespace !== undefined) close(networkNamespace);
    throw error;
  }
}

/** Into a namespace of this thread's, from wherever it is. */
class WayBack {
  readonly #kind: number;
  readonly #fd: number;

  constructor(kind: number, file: string) {
    this.#kind = kind;
    this.#fd = openSync(`/proc/thread-self/ns/${file}`, 'r');
  }

  take(): number {
    return setns(this.#fd, this.#kind);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

import { closeSync, openSync } from 'node:fs';
import { type NetworkChoice } from './mode.ts';
import { chooseHostPorts } from './free-ports.ts';
import { HelperProcess } from './helper-process.ts';
import { pastaArguments, planPasta } from './pasta.ts';
import { type NetworkPlan } from './plan.ts';
import { type PortMapping } from './ports.ts';
import { type PublishedPort } from './published.ts';
import { SLIRP_READY_FD, planSlirp, slirpArguments } from './slirp4netns.ts';
import { forwardBySlirp } from './slirp-ports.ts';

/** @throws where the helper's options are not right. */
export function planNetwork(choice: NetworkChoice, macAddress?: string): NetworkPlan {
  if (choice.mode === 'pasta') return planPasta(choice.options, macAddress);
  if (choice.mode === 'slirp4netns') return planSlirp(choice.options, macAddress);
  // By its loopback address: the container has it too.
  if (choice.mode === 'host') return { mode: 'host', hostAddress: '127.0.0.1', hasIpv6: true };
  return { mode: choice.mode, hasIpv6: true };
}

/** Whether a program of its own makes it, which needs the container's network namespace first. */
export function hasHelper({ mode }: NetworkPlan): boolean {
  return mode === 'pasta' || mode === 'slirp4netns';
}

export interface NetworkSurroundings {
  /** Descriptor of the container's network namespace. */
  readonly namespace: number;
  /** The container's own, for a socket that is there for a moment. */
  readonly directory: string;
  /** Takes what is to be said when the helper ends before the container. */
  readonly lost: (message: string) => void;
}

/** A container's network while it is there: the helper, and what it forwards. */
export class ContainerNetwork {
  readonly ports: readonly PublishedPort[];
  readonly #helper: HelperProcess;

  private constructor(helper: HelperProcess, ports: readonly PublishedPort[]) {
    this.#helper = helper;
    this.ports = ports;
  }

  get pid(): number | undefined {
    return this.#helper.pid;
  }

  /**
   * Resolves when the container's interface is up and its ports are reached. Nothing is left where it fails.
   *
   * @throws where a port is taken, or the helper does not get ready.
   */
  static async start(
    plan: NetworkPlan,
    mappings: readonly PortMapping[],
    { namespace, directory, lost }: NetworkSurroundings,
  ): Promise<ContainerNetwork> {
    // One of our own: the caller's goes with the container.
    const own = openSync(`/proc/self/fd/${namespace}`, 'r');
    try {
      const { helper, ports } = await startHelper(plan, mappings, own, directory);
      helper.watch(lost);
      return new ContainerNetwork(helper, ports);
    } finally {
      closeSync(own);
    }
  }

  stop(): Promise<void> {
    return this.#helper.stop();
  }
}

// Between the choice of a port and its use another container may have taken it.
const ATTEMPTS = 5;

async function startHelper(
  plan: NetworkPlan,
  mappings: readonly PortMapping[],
  namespace: number,
  directory: string,
): Promise<{ readonly helper: HelperProcess; readonly ports: readonly PublishedPort[] }> {
  const start = plan.mode === 'pasta' ? startPasta : startSlirp;
  const hasChoice = mappings.some(({ hostPorts: { first, last } }) => first === 0 || first !== last);
  for (let attempt = 1; ; attempt += 1) {
    const ports = await chooseHostPorts(mappings);
    try {
      return { helper: await start(plan, ports, namespace, directory), ports };
    } catch (error) {
      if (!hasChoice || attempt === ATTEMPTS || (await areFree(ports))) throw error;
    }
  }
}

/** Whether it was not for its ports that a helper did not come up. */
function areFree(ports: readonly PublishedPort[]): Promise<boolean> {
  const again = ports.map(({ hostPort, ...port }) => ({ ...port, hostPorts: { first: hostPort, last: hostPort } }));
  return chooseHostPorts(again).then(
    () => true,
    () => false,
  );
}

const STDOUT = 1;

async function startPasta(
  plan: NetworkPlan,
  ports: readonly PublishedPort[],
  namespace: number,
): Promise<HelperProcess> {
  const args = pastaArguments(plan, ports);
  const helper = new HelperProcess({ program: 'pasta', debianPackage: 'passt', args, namespace });
  await helper.untilReady(STDOUT);
  return helper;
}

async function startSlirp(
  plan: NetworkPlan,
  ports: readonly PublishedPort[],
  namespace: number,
  directory: string,
): Promise<HelperProcess> {
  const socketDirectory = openSync(directory, 'r');
  try {
    const args = slirpArguments(plan, ports.length > 0);
    const more = ['pipe', 'pipe', socketDirectory] as const;
    const helper = new HelperProcess({ program: 'slirp4netns', debianPackage: 'slirp4netns', args, namespace, more });
    await helper.untilReady(SLIRP_READY_FD);
    if (ports.length > 0) await forwardOrStop(helper, socketDirectory, ports, plan.address ?? '');
    return helper;
  } finally {
    closeSync(socketDirectory);
  }
}

async function forwardOrStop(
  helper: HelperProcess,
  directory: number,
  ports: readonly PublishedPort[],
  guest: string,
): Promise<void> {
  try {
    await forwardBySlirp(directory, ports, guest);
  } catch (error) {
    await helper.stop();
    throw error;
  }
}

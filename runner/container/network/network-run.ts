import { type Container } from '../container.ts';
import { writeLiveFiles } from '../live-files.ts';
import { type NetworkOptions } from '../options/network.ts';
import { identify } from '../process-identity.ts';
import { ContainerNetwork, hasHelper, planNetwork } from './container-network.ts';
import { type NetworkState } from './network-state.ts';
import { type NetworkPlan } from './plan.ts';
import { ANY_ADDRESS, ANY_PORT, type ExposedPort, type PortMapping, mergeExposed, parseExpose } from './ports.ts';
import { formatExposed } from './published.ts';

/** What a container's network is made of. */
export interface NetworkParts {
  readonly container: Container;
  readonly options: NetworkOptions;
  readonly hostname: string;
  /** `80/tcp`, as the image says. */
  readonly imagePorts: readonly string[];
  /** Descriptor of the container's own network namespace. */
  readonly namespace: number | undefined;
  /** Of the container whose network is shared. */
  readonly sharedFiles?: string | undefined;
  /** Takes what is to be said when the network is lost before the container ends. */
  readonly report: (message: string) => void;
}

/** A container's network, from before its command runs to its end. */
export class NetworkRun {
  /** Settled once the command may run; rejected where there is no network. */
  readonly ready: Promise<NetworkState>;
  readonly #started: Promise<ContainerNetwork | undefined>;

  /** Writes the files that name hosts, and begins to make the network. */
  constructor(parts: NetworkParts) {
    const { container, options, hostname, sharedFiles } = parts;
    const plan = planNetwork(options, options.macAddress);
    writeLiveFiles(container.files, { hostname, plan, options, sharedFiles });
    const exposed = mergeExposed(parts.imagePorts.flatMap(parseExposeLeniently), options.expose);
    this.#started = start(plan, options, exposed, parts);
    this.ready = this.#started.then((network) => describe(plan, exposed, network));
    // Whoever gives up before it asks.
    this.ready.catch(() => undefined);
  }

  /** Resolves when nothing is left of it. */
  async stop(): Promise<void> {
    const network = await this.#started.catch(() => undefined);
    await network?.stop();
  }
}

async function start(
  plan: NetworkPlan,
  { publish, publishAll }: NetworkOptions,
  exposed: readonly ExposedPort[],
  { container, namespace, report }: NetworkParts,
): Promise<ContainerNetwork | undefined> {
  if (!hasHelper(plan) || namespace === undefined) return undefined;
  const mappings = publishAll ? [...publish, ...othersOf(exposed, publish)] : publish;
  return ContainerNetwork.start(plan, mappings, { namespace, directory: container.directory, lost: report });
}

/** Mappings of what is exposed and not published yet. */
function othersOf(exposed: readonly ExposedPort[], publish: readonly PortMapping[]): PortMapping[] {
  const published = new Set(publish.map(formatExposed));
  const others = exposed.filter((port) => !published.has(formatExposed(port)));
  return others.map((port) => ({ ...port, hostIp: ANY_ADDRESS, hostPorts: ANY_PORT }));
}

/** An image may say anything; what is no port of ours is not published. */
function parseExposeLeniently(text: string): ExposedPort[] {
  try {
    return parseExpose(text);
  } catch {
    return [];
  }
}

function describe(
  plan: NetworkPlan,
  exposed: readonly ExposedPort[],
  network: ContainerNetwork | undefined,
): NetworkState {
  const helper = network?.pid === undefined ? undefined : identify(network.pid);
  return {
    mode: plan.mode,
    ipAddress: plan.address,
    prefixLength: plan.prefixLength,
    gateway: plan.gateway,
    macAddress: plan.macAddress,
    exposed,
    ports: network?.ports ?? [],
    helper,
  };
}

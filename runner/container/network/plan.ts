import { type NetworkMode } from './mode.ts';

/** How a container's network is to be: known before anything of it is made. */
export interface NetworkPlan {
  readonly mode: NetworkMode;
  /** Of the container, in its own network; undefined where that has none, or where the helper chooses. */
  readonly address?: string | undefined;
  readonly prefixLength?: number | undefined;
  readonly gateway?: string | undefined;
  readonly macAddress?: string | undefined;
  /** Where the helper answers for the host's resolver. */
  readonly nameserver?: string | undefined;
  /** By which the container reaches the host. */
  readonly hostAddress?: string | undefined;
  readonly hasIpv6: boolean;
  /** Command line of the helper, but for what depends on the ports and on descriptors. */
  readonly helper?: readonly string[];
}

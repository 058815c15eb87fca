import { type Command, Option } from 'commander';
import { type NetworkOptions, plainNetwork } from '../../runner/container/options/network.ts';

/** What the options of `addNetworkFlags` give. */
export interface NetworkFlags {
  readonly network: 'host' | 'none';
}

/** Options of the container's network. */
export function addNetworkFlags(command: Command): Command {
  return command.addOption(
    new Option('--network <network>', "host: the host's; none: the loopback interface alone")
      .choices(['host', 'none'])
      .default('host'),
  );
}

export function networkOptionsOf({ network }: NetworkFlags): NetworkOptions {
  return plainNetwork({ mode: network, options: [] });
}

import { type ContainerState, liveStatus } from '../container.ts';
import { type NetworkOptions } from '../options/network.ts';
import { describePorts, formatExposed } from './published.ts';

/** Docker's `NetworkSettings`. */
export function inspectNetwork(state: ContainerState): Readonly<Record<string, unknown>> {
  const isThere = ['running', 'orphaned'].includes(liveStatus(state));
  const network = isThere ? state.network : undefined;
  const settings = {
    IPAddress: network?.ipAddress ?? '',
    IPPrefixLen: network?.prefixLength ?? 0,
    Gateway: network?.gateway ?? '',
    MacAddress: network?.macAddress ?? '',
  };
  return {
    Ports: describePorts(network?.ports ?? [], network?.exposed),
    SandboxKey: network === undefined || state.init === undefined ? '' : `/proc/${state.init.pid}/ns/net`,
    ...settings,
    Networks: network === undefined ? {} : { [network.mode]: settings },
  };
}

/** What docker's `HostConfig` tells of the network. */
export function inspectNetworkOptions(options: NetworkOptions): Readonly<Record<string, unknown>> {
  const { mode, container, options: helperOptions, publish, resolver, hosts } = options;
  const argument = container ?? helperOptions.join(',');
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { hostIp, hostPorts, ...port } of publish) {
    const { first, last } = hostPorts;
    const HostPort = first === 0 ? '' : first === last ? String(first) : `${first}-${last}`;
    (bindings[formatExposed(port)] ??= []).push({ HostIp: hostIp, HostPort });
  }
  return {
    NetworkMode: argument === '' ? mode : `${mode}:${argument}`,
    PortBindings: bindings,
    PublishAllPorts: options.publishAll,
    Dns: resolver.nameservers,
    DnsSearch: resolver.search,
    DnsOptions: resolver.options,
    ExtraHosts: hosts.map(({ name, address }) => `${name}:${address}`),
  };
}

/** Docker's `ExposedPorts`: of its run where there was one, else what the command line says. */
export function inspectExposed(state: ContainerState, options: NetworkOptions | undefined): Record<string, object> {
  const exposed = [...(state.network?.exposed ?? options?.expose ?? []), ...(options?.publish ?? [])];
  return Object.fromEntries(exposed.map((port) => [formatExposed(port), {}]));
}

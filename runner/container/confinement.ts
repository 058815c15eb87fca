import { join } from 'node:path';
import { type ContainerOptions } from './options/container-options.ts';
import { hostDevices } from './options/devices.ts';
import { namespaceOf } from './options/sysctls.ts';
import { namespaceSpecOf } from './namespace-spec.ts';
import { securitySpecOf } from './security-spec.ts';
import { type KernelSpec, type NamespaceSpec, type SecuritySpec } from './spec.ts';
import { systemPathsOf } from './system-paths.ts';

/** What of a stage's spec holds a container in. */
export interface Confinement {
  readonly security: SecuritySpec;
  readonly kernel: KernelSpec;
  readonly namespaces: NamespaceSpec;
}

/**
 * To be called in the user namespace of the container.
 *
 * @param storeRoot compiled seccomp filters are kept in there.
 * @throws where what was asked for cannot be honoured.
 */
export async function confinementOf(options: ContainerOptions, storeRoot: string): Promise<Confinement> {
  return {
    security: await securitySpecOf(options.security, filterCache(storeRoot)),
    kernel: kernelSpecOf(options),
    namespaces: namespaceSpecOf(options.namespaces, storeRoot, options.resources.shmSize),
  };
}

/** Directory of the seccomp filters that were compiled before. */
function filterCache(storeRoot: string): string {
  return join(storeRoot, 'seccomp');
}

function kernelSpecOf({ security, network, namespaces, resources }: ContainerOptions): KernelSpec {
  const { privileged, mask, unmask, sysctls, devices } = security;
  const { domainname } = namespaces;
  const all = [...(domainname === undefined ? [] : [{ path: 'kernel/domainname', value: domainname }]), ...sysctls];
  const shared = { network: network.mode === 'host', ipc: namespaces.ipc === 'host', uts: namespaces.uts === 'host' };
  for (const { path } of all) {
    const namespace = namespaceOf(path);
    if (namespace === undefined || !shared[namespace]) continue;
    throw new Error(
      `--sysctl ${path} is not possible with the host's ${namespace}: it would be set for the whole host`,
    );
  }
  return {
    paths: systemPathsOf(privileged, mask, unmask),
    writable: privileged,
    sysctls: all,
    devices: privileged ? [...hostDevices(), ...devices] : devices,
    makesDevices: privileged || (resources.devices ?? []).length > 0,
  };
}

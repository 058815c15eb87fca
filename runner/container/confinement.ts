import { join } from 'node:path';
import { type ContainerOptions } from './options/container-options.ts';
import { namespaceOf } from './options/sysctls.ts';
import { securitySpecOf } from './security-spec.ts';
import { type KernelSpec, type SecuritySpec } from './spec.ts';
import { systemPathsOf } from './system-paths.ts';

/** What of a stage's spec holds a container in. */
interface Confinement {
  readonly security: SecuritySpec;
  readonly kernel: KernelSpec;
}

/**
 * To be called in the user namespace of the container.
 *
 * @param storeRoot compiled seccomp filters are kept in there.
 * @throws where what was asked for cannot be honoured.
 */
export async function confinementOf(options: ContainerOptions, storeRoot: string): Promise<Confinement> {
  return { security: await securitySpecOf(options.security, filterCache(storeRoot)), kernel: kernelSpecOf(options) };
}

/** Directory of the seccomp filters that were compiled before. */
function filterCache(storeRoot: string): string {
  return join(storeRoot, 'seccomp');
}

// Docker's.
const SHM_SIZE = 64 * 2 ** 20;

function kernelSpecOf({ security, network, resources }: ContainerOptions): KernelSpec {
  const { privileged, mask, unmask, sysctls } = security;
  for (const { path } of sysctls) {
    if (namespaceOf(path) !== 'network' || network.mode !== 'host') continue;
    throw new Error(`--sysctl ${path} is not possible with the host's network: it would be set for the whole host`);
  }
  return {
    paths: systemPathsOf(privileged, mask, unmask),
    writable: privileged,
    shmSize: resources.shmSize ?? SHM_SIZE,
    sysctls,
  };
}

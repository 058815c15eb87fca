import { permittedCapabilities } from '../../fs/sys/capability.ts';
import { appArmorHost, appArmorProfile } from './apparmor.ts';
import { capabilityNames, capabilityNumbers, capabilitySets } from './capabilities.ts';
import { type SecurityOptions } from './options/security.ts';
import { RESOURCE_NUMBERS } from './options/ulimits.ts';
import { seccompFilter } from './seccomp/filter.ts';
import { type LimitSpec, type SecuritySpec } from './spec.ts';

/**
 * What holds for every process of a container, the first one and those that are added: to be called in the user
 * namespace of the container.
 *
 * @param cache directory of compiled seccomp filters.
 */
export async function securitySpecOf(options: SecurityOptions, cache: string): Promise<SecuritySpec> {
  const { privileged, noNewPrivileges, umask } = options;
  const { bounding, ambient } = capabilitySets(options, capabilityNames(permittedCapabilities()));
  // What is asked for by name holds for a privileged container, too.
  const filter = privileged && options.seccomp === 'default' ? 'unconfined' : options.seccomp;
  return {
    bounding: capabilityNumbers(bounding),
    ambient: capabilityNumbers(ambient),
    seccomp: await seccompFilter(filter, bounding, cache),
    apparmor: appArmorProfile(options.apparmor, privileged, appArmorHost()),
    noNewPrivileges,
    umask,
    limits: limitsOf(options),
    groups: { names: options.groups, keep: options.keepGroups },
  };
}

// RLIM_INFINITY of asm-generic/resource.h.
const INFINITY = ((1n << 64n) - 1n).toString();

function limitsOf({ limits }: SecurityOptions): LimitSpec[] {
  return limits.map(({ name, soft = INFINITY, hard = INFINITY }) => {
    const resource = RESOURCE_NUMBERS[name];
    if (resource === undefined) throw new Error(`${name} is no resource limit`);
    return { name, resource, soft, hard };
  });
}

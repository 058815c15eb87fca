import { type ContainerOptions } from './options/container-options.ts';
import { type DeviceRule } from './options/device-rule.ts';
import { type SecurityOptions } from './options/security.ts';
import { type UserNamespaceOptions } from './options/user-namespace.ts';
import { systemPathsOf } from './system-paths.ts';
import { mappingWords } from './user-namespace/id-mappings.ts';

/** The parts of docker's HostConfig that tell what a container's processes may do, and whose namespaces they share. */
export function securityConfig(options: ContainerOptions): Readonly<Record<string, unknown>> {
  const { security, namespaces, resources } = options;
  const { masked, readOnly } = systemPathsOf(security.privileged, security.mask, security.unmask);
  return {
    CapAdd: security.add,
    CapDrop: security.drop,
    Privileged: security.privileged,
    SecurityOpt: securityOpt(security),
    GroupAdd: security.keepGroups ? ['keep-groups'] : security.groups,
    Ulimits: security.limits.map(({ name, soft = '-1', hard = '-1' }) => ({
      Name: name,
      Soft: Number(soft),
      Hard: Number(hard),
    })),
    Sysctls: Object.fromEntries(security.sysctls.map(({ path, value }) => [path.replaceAll('/', '.'), value])),
    Devices: security.devices.map(({ source, destination, access }) => ({
      PathOnHost: source,
      PathInContainer: destination,
      CgroupPermissions: access,
    })),
    DeviceCgroupRules: (resources.devices ?? []).map(formatRule),
    MaskedPaths: masked,
    ReadonlyPaths: readOnly,
    PidMode: namespaces.pid,
    IpcMode: namespaces.ipc,
    UTSMode: namespaces.uts,
    CgroupnsMode: namespaces.cgroup,
    ...usersConfig(namespaces.users),
  };
}

/** As podman has it. */
function usersConfig(users: UserNamespaceOptions | undefined): Readonly<Record<string, unknown>> {
  const { mode = '', mappings } = users ?? {};
  if (mappings === undefined) return { UsernsMode: mode };
  const words = { UidMap: mappingWords(mappings.users), GidMap: mappingWords(mappings.groups) };
  return { UsernsMode: mode, IDMappings: words };
}

function securityOpt({ seccomp, noNewPrivileges, apparmor }: SecurityOptions): string[] {
  const filter = typeof seccomp === 'string' ? seccomp : seccomp.origin;
  return [
    ...(filter === 'default' ? [] : [`seccomp=${filter}`]),
    ...(noNewPrivileges ? ['no-new-privileges'] : []),
    ...(apparmor === undefined ? [] : [`apparmor=${apparmor}`]),
  ];
}

function formatRule({ type, major, minor, access }: DeviceRule): string {
  return `${type} ${major ?? '*'}:${minor ?? '*'} ${access}`;
}

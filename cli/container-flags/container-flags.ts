import { type Command, Option } from 'commander';
import { type Backend, BACKENDS } from '../../fs/index.ts';
import { type RunOptions } from '../../runner/container/create.ts';
import { deviceRules } from '../../runner/container/options/devices.ts';
import { type ResourceOptions } from '../../runner/container/options/resources.ts';
import { type SecurityOptions } from '../../runner/container/options/security.ts';
import { type ImageFlags, addImageFlags, obtainOptionsOf } from './image.ts';
import { type LifecycleFlags, addLifecycleFlags, lifecycleOptionsOf } from './lifecycle.ts';
import { type MountFlags, addMountFlags, mountOptionsOf } from './mounts.ts';
import { type NamespaceFlags, addNamespaceFlags, namespaceOptionsOf } from './namespaces.ts';
import { type NetworkFlags, addNetworkFlags, networkOptionsOf } from './network.ts';
import { type ProcessFlags, addProcessFlags, processOptionsOf } from './process.ts';
import { type ResourceFlags, addResourceFlags, resourceOptionsOf } from './resources.ts';
import { type SecurityFlags, addSecurityFlags, securityOptionsOf } from './security.ts';

/** What the options of every command that makes a container give. */
export interface ContainerFlags
  extends
    ImageFlags,
    ProcessFlags,
    MountFlags,
    NetworkFlags,
    LifecycleFlags,
    ResourceFlags,
    SecurityFlags,
    NamespaceFlags {
  readonly name?: string;
  readonly backend?: Backend;
}

/** Arguments and options of every command that makes a container. */
export function addContainerFlags(command: Command): Command {
  command
    .argument('<image>', 'name, id, or the first digits of the id')
    .argument('[command...]', "what to run instead of the image's own command, with its arguments");
  for (const add of [
    addImageFlags,
    addLifecycleFlags,
    addProcessFlags,
    addMountFlags,
    addNetworkFlags,
    addResourceFlags,
    addSecurityFlags,
    addNamespaceFlags,
  ])
    add(command);
  return command
    .option('--name <name>', 'name of the container')
    .addOption(
      new Option(
        '--backend <name>',
        'who serves the root filesystem: device, lamina itself; fuse-native, libfuse 2.9 in the npm package of that name',
      ).choices(BACKENDS),
    )
    .helpOption('--help', 'display help for command')
    .passThroughOptions();
}

/** @param stdinOnce standard input ends with that of the first client. */
export function containerOptionsOf(
  image: string,
  command: readonly string[],
  flags: ContainerFlags,
  stdinOnce: boolean,
): RunOptions {
  const security = securityOptionsOf(flags);
  const namespaces = namespaceOptionsOf(flags);
  return {
    image,
    obtain: obtainOptionsOf(image, flags),
    name: flags.name,
    container: {
      process: processOptionsOf(command, flags, namespaces.uts === 'host'),
      mounts: mountOptionsOf(flags),
      network: networkOptionsOf(flags),
      lifecycle: lifecycleOptionsOf(flags, stdinOnce),
      resources: withDevices(resourceOptionsOf(flags), security),
      security,
      namespaces,
      backend: flags.backend,
    },
  };
}

/** The container's control group has to allow the devices that it is given. */
function withDevices(resources: ResourceOptions, { devices }: SecurityOptions): ResourceOptions {
  return { ...resources, givenDevices: deviceRules(devices) };
}

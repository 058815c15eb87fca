import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { type Backend, BACKENDS } from '../../fs/index.ts';
import { DRIVER_CHOICES, type DriverChoice, wantedDriver } from '../../runner/container/driver/choice.ts';
import { type ContainerOptions } from '../../runner/container/options/container-options.ts';
import { type RunOptions } from '../../runner/container/create.ts';
import { deviceRules } from '../../runner/container/options/devices.ts';
import { sharedContainer } from '../../runner/container/options/namespaces.ts';
import { hostnameOf } from '../../runner/container/options/process.ts';
import { type ResourceOptions } from '../../runner/container/options/resources.ts';
import { type SecurityOptions } from '../../runner/container/options/security.ts';
import { ContainerStore } from '../../runner/container/container-store.ts';
import { layerDirectory } from '../../runner/container/directories.ts';
import { storeRoot } from '../../runner/image/store-root.ts';
import { collect } from './collect.ts';
import { type ImageFlags, addImageFlags, obtainOptionsOf } from './image.ts';
import { type LifecycleFlags, addLifecycleFlags, lifecycleOptionsOf } from './lifecycle.ts';
import { type MountFlags, addMountFlags, mountOptionsOf } from './mounts.ts';
import { type NamespaceFlags, addNamespaceFlags, namespaceOptionsOf } from './namespaces.ts';
import { type NetworkFlags, addNetworkFlags, networkOptionsOf } from './network.ts';
import { type ProcessFlags, addProcessFlags, processOptionsOf } from './process.ts';
import { addRefusedFlags } from './refused.ts';
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
  readonly layer?: readonly string[];
  readonly rootfs?: string;
  readonly driver?: DriverChoice;
  readonly backend?: Backend;
}

/** Arguments and options of every command that makes a container. */
export function addContainerFlags(command: Command): Command {
  command
    .argument('<image>', 'name, id, or the first digits of the id; none with --layer or --rootfs')
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
    addRefusedFlags,
  ])
    add(command);
  return command
    .option('--name <name>', 'name of the container')
    .option(
      '--layer <directory>',
      'a directory of the host in place of an image; can be repeated, the first is the topmost. None of them is changed',
      collect,
    )
    .option(
      '--rootfs <directory>',
      'as one --layer: changes are kept with the container, not in the directory (as with podman --rootfs DIR:O)',
    )
    .addOption(
      new Option(
        '--driver <name>',
        "what the root is made by: union, lamina's own; overlay, kernel overlayfs; vfs, a copy of the image; auto, what " +
          'works here, kernel overlayfs first (default: LAMINA_DRIVER, else union)',
      ).choices(DRIVER_CHOICES),
    )
    .addOption(
      new Option(
        '--backend <name>',
        'who serves the root filesystem: device, lamina itself; fuse-native, libfuse 2.9 in the npm package of that name',
      ).choices(BACKENDS),
    )
    .helpOption('--help', 'display help for command')
    .passThroughOptions();
}

/**
 * @param first the image, or with --layer or --rootfs the command.
 * @param stdinOnce standard input ends with that of the first client.
 */
export function containerOptionsOf(
  first: string,
  rest: readonly string[],
  flags: ContainerFlags,
  stdinOnce: boolean,
): RunOptions {
  const security = securityOptionsOf(flags);
  const namespaces = namespaceOptionsOf(flags);
  const directories = directoriesOf(flags);
  const [image, command] = directories === undefined ? [first, rest] : [directories.join(':'), [first, ...rest]];
  return {
    image,
    directories,
    obtain: directories === undefined ? obtainOptionsOf(image, flags) : undefined,
    name: flags.name,
    container: {
      process: processOptionsOf(command, flags, inheritedName(flags, namespaces.uts)),
      mounts: mountOptionsOf(flags),
      network: networkOptionsOf(flags),
      lifecycle: lifecycleOptionsOf(flags, stdinOnce),
      resources: withDevices(resourceOptionsOf(flags), security),
      security,
      namespaces,
      ...rootOptionsOf(flags),
    },
  };
}

/** As docker has it, a container in the host's network has the host's name; one in another's uts namespace has that one's. */
function inheritedName(flags: ContainerFlags, uts: string): string | undefined {
  if (uts !== 'private' && flags.hostname !== undefined) {
    throw new Error(`--hostname ${flags.hostname} is not possible with --uts ${uts}: it would be set for others, too`);
  }
  const other = sharedContainer(uts);
  if (other !== undefined) {
    const { config } = new ContainerStore(storeRoot()).find(other);
    return config.options === undefined ? undefined : hostnameOf(config.options.process, config.id);
  }
  return uts === 'host' || flags.network === 'host' ? hostname() : undefined;
}

/** The container's control group has to allow the devices that it is given. */
function withDevices(resources: ResourceOptions, { devices }: SecurityOptions): ResourceOptions {
  return { ...resources, givenDevices: deviceRules(devices) };
}

function directoriesOf({ layer = [], rootfs }: ContainerFlags): readonly string[] | undefined {
  if (rootfs === undefined) return layer.length === 0 ? undefined : layer.map(layerDirectory);
  if (layer.length > 0) throw new Error('--rootfs is one --layer: give either the one or the others');
  const [path = '', mode = 'O'] = rootfs.split(/:([A-Za-z]+)$/);
  if (mode === 'O') return [layerDirectory(path)];
  throw new Error(
    `--rootfs ${JSON.stringify(rootfs)}: the directory itself is never changed; what the container changes can be had by "lamina cp" and "lamina export"`,
  );
}

function rootOptionsOf({ driver, backend }: ContainerFlags): Pick<ContainerOptions, 'driver' | 'backend'> {
  const wanted = wantedDriver(driver);
  if (backend !== undefined && driver !== undefined && driver !== 'union') {
    throw new Error(`--backend ${backend} serves the union: it does not go with --driver ${driver}`);
  }
  return { driver: backend === undefined ? wanted : 'union', backend };
}

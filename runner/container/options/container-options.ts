import { type Backend } from '../../../fs/index.ts';
import { type DriverChoice } from '../driver/choice.ts';
import { type LifecycleOptions, PLAIN_LIFECYCLE } from './lifecycle.ts';
import { type MountOptions } from './mounts.ts';
import { OWN_NAMESPACES, type NamespaceOptions } from './namespaces.ts';
import { type NetworkOptions, plainNetwork } from './network.ts';
import { type ProcessOptions } from './process.ts';
import { type ResourceOptions } from './resources.ts';
import { ORDINARY_SECURITY, type SecurityOptions } from './security.ts';

/**
 * What the command line asks for of a container, resolved and checked: JSON, since it is kept with the container, which
 * may be started again by others.
 */
export interface ContainerOptions {
  readonly process: ProcessOptions;
  readonly mounts: MountOptions;
  readonly network: NetworkOptions;
  readonly resources: ResourceOptions;
  readonly security: SecurityOptions;
  readonly namespaces: NamespaceOptions;
  readonly lifecycle: LifecycleOptions;
  /** What its root is made by; the union where nothing is said. */
  readonly driver?: DriverChoice | undefined;
  /** Who serves the union; without it, LAMINA_BACKEND says so. */
  readonly backend?: Backend | undefined;
}

/** A container of which nothing is asked but a command. */
export function plainContainer(command: readonly string[]): ContainerOptions {
  return {
    process: { command, env: [], interactive: false, terminal: false },
    mounts: { readOnly: false, temporaries: true, mounts: [], volumesFrom: [] },
    network: plainNetwork({ mode: 'host', options: [] }),
    resources: { limits: {}, cgroups: 'enabled' },
    security: ORDINARY_SECURITY,
    lifecycle: PLAIN_LIFECYCLE,
    namespaces: OWN_NAMESPACES,
  };
}

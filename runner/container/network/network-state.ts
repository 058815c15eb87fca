import { type ProcessIdentity } from '../process-identity.ts';
import { type NetworkMode } from './mode.ts';
import { type ExposedPort } from './ports.ts';
import { type PublishedPort } from './published.ts';

/** What a container's state tells of its network. */
export interface NetworkState {
  readonly mode: NetworkMode;
  /** Its own, where it has one that is known. */
  readonly ipAddress?: string | undefined;
  readonly prefixLength?: number | undefined;
  readonly gateway?: string | undefined;
  readonly macAddress?: string | undefined;
  readonly exposed: readonly ExposedPort[];
  readonly ports: readonly PublishedPort[];
  /** The program that makes it. */
  readonly helper?: ProcessIdentity | undefined;
}

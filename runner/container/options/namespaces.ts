import { type UserNamespaceOptions } from './user-namespace.ts';

/** What the command line asks for of the container's namespaces: `private`, `host`, or `container:NAME`. */
export interface NamespaceOptions {
  readonly pid: string;
  /** Or `none`: private, and without /dev/shm. */
  readonly ipc: string;
  readonly uts: string;
  readonly cgroup: string;
  readonly domainname?: string | undefined;
  /** Without it, the users are those of lamina's own user namespace. */
  readonly users?: UserNamespaceOptions | undefined;
  /** By how much its clocks are ahead of the host's, in a time namespace of its own. */
  readonly timeOffsets?: readonly string[] | undefined;
}

/** One of its own of each. */
export const OWN_NAMESPACES: NamespaceOptions = { pid: 'private', ipc: 'private', uts: 'private', cgroup: 'private' };

const CONTAINER = 'container:';

/** The reference of the container whose namespace is shared, where it is one's. */
export function sharedContainer(choice: string): string | undefined {
  return choice.startsWith(CONTAINER) ? choice.slice(CONTAINER.length) : undefined;
}

/**
 * Checks what an option says of a namespace.
 *
 * @param words those that it may be, besides `private` and `host`; `container` for one of another container.
 */
export function parseNamespace(option: string, text: string, ...words: readonly string[]): string {
  // Podman's and docker's other names of the same.
  const choice = text === '' || text === 'shareable' ? 'private' : text;
  if (['private', 'host', ...words].includes(choice) && choice !== 'container') return choice;
  const other = sharedContainer(choice);
  if (words.includes('container') && other !== undefined && other !== '') return choice;
  const known = ['private', 'host', ...words.map((word) => (word === 'container' ? 'container:NAME' : word))];
  throw new Error(`--${option} ${JSON.stringify(text)} is not one of ${known.join(', ')}`);
}

/** `monotonic=SECONDS` or `boottime=SECONDS`, as the kernel reads it: `CLOCK SECONDS 0`. */
export function parseTimeOffset(text: string): string {
  const [, clock, seconds] = /^(monotonic|boottime)=(-?\d{1,9})$/.exec(text) ?? [];
  if (clock !== undefined && seconds !== undefined) return `${clock} ${seconds} 0`;
  throw new Error(`--time-offset ${JSON.stringify(text)} is not monotonic=SECONDS or boottime=SECONDS`);
}

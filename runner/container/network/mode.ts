import { accessSync, constants } from 'node:fs';
import { describeErrno } from '../../../fs/sys/errno.ts';
import { lookForProgram } from '../program.ts';

/** What a container's network is made of. */
export type NetworkMode = 'host' | 'none' | 'container' | 'pasta' | 'slirp4netns';

/** A network as it was asked for. */
export interface NetworkChoice {
  readonly mode: NetworkMode;
  /** Of the helper, in podman's words. */
  readonly options: readonly string[];
  /** Name or id of the one whose network is shared. */
  readonly container?: string;
}

/** Whether the container is in a network namespace that is made for it. */
export function hasOwnNetwork({ mode }: NetworkChoice): boolean {
  return mode !== 'host' && mode !== 'container';
}

const TUN = '/dev/net/tun';
const TUN_REMEDY = `as root: modprobe tun && chmod 0666 ${TUN}`;
const INSTALL = 'as root: apt-get install';

/**
 * `none`, `host`, `private`, `pasta[:OPTIONS]`, `slirp4netns[:OPTIONS]` or `container:NAME`. Docker's `bridge` is taken
 * for `private`: the container has a network of its own, from which it gets out and into which ports are published.
 *
 * @throws where it is none of these, or this machine cannot have it.
 */
export function parseNetwork(text: string): NetworkChoice {
  const at = text.indexOf(':');
  const name = at < 0 ? text : text.slice(0, at);
  const rest = at < 0 ? undefined : text.slice(at + 1);
  if (name === 'container' || name === 'pasta' || name === 'slirp4netns') return withArgument(name, rest);
  if (rest === undefined && (name === 'host' || name === 'none')) return { mode: name, options: [] };
  if (rest === undefined && (name === 'private' || name === 'bridge')) return privateNetwork();
  throw new Error(
    `network ${JSON.stringify(text)} is none of host, none, private, pasta[:OPTIONS], slirp4netns[:OPTIONS], ` +
      'container:NAME: lamina has no named networks',
  );
}

function withArgument(mode: 'container' | 'pasta' | 'slirp4netns', argument: string | undefined): NetworkChoice {
  if (mode !== 'container') {
    const refused = whyNoHelper(mode);
    if (refused !== undefined) throw new Error(refused);
    return { mode, options: (argument ?? '').split(',').filter((option) => option !== '') };
  }
  if (argument === undefined || argument === '')
    throw new Error('network container:NAME needs the name of a container');
  return { mode, options: [], container: argument };
}

function privateNetwork(): NetworkChoice {
  const found = findHelper();
  if (found.mode !== undefined) return { mode: found.mode, options: [] };
  throw new Error(`no private network: ${found.reason} (${found.remedy})`);
}

/**
 * What a container has where nothing is asked for: LAMINA_NETWORK, else a private network, as docker and podman have
 * it, else the host's.
 *
 * @param report takes one line where there is no private network.
 */
export function defaultNetwork(report: (line: string) => void): NetworkChoice {
  const preferred = process.env['LAMINA_NETWORK'] ?? '';
  if (preferred !== '') return parseNetwork(preferred);
  const found = findHelper();
  if (found.mode !== undefined) return { mode: found.mode, options: [] };
  report(
    `the container has the host's network, since ${found.reason} (${found.remedy}); --network host says nothing of it`,
  );
  return { mode: 'host', options: [] };
}

type FoundHelper =
  | { readonly mode: 'pasta' | 'slirp4netns'; readonly reason?: never }
  | { readonly mode?: never; readonly reason: string; readonly remedy: string };

/** What `doctor` and the default look for: the program that makes a private network, or why there is none. */
export function findHelper(): FoundHelper {
  const mode = (['pasta', 'slirp4netns'] as const).find((name) => lookForProgram(name) !== undefined);
  if (mode === undefined) {
    return { reason: 'neither pasta nor slirp4netns is installed', remedy: `${INSTALL} passt` };
  }
  const reason = whyNoTun();
  return reason === undefined ? { mode } : { reason, remedy: TUN_REMEDY };
}

function whyNoHelper(name: 'pasta' | 'slirp4netns'): string | undefined {
  const debianPackage = name === 'pasta' ? 'passt' : name;
  if (lookForProgram(name) === undefined) return `${name} is not installed; ${INSTALL} ${debianPackage}`;
  const reason = whyNoTun();
  return reason === undefined ? undefined : `${reason} (${TUN_REMEDY})`;
}

/** Both helpers are the other end of a tap device. */
function whyNoTun(): string | undefined {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).errno ?? 0;
    return `${TUN} cannot be opened: ${describeErrno(errno)}`;
  }
}

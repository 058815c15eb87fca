import { type Command } from 'commander';
import {
  OWN_NAMESPACES,
  type NamespaceOptions,
  parseNamespace,
  parseTimeOffset,
} from '../../runner/container/options/namespaces.ts';
import { checkHostname } from '../../runner/container/options/process.ts';
import { parseUserNamespace } from '../../runner/container/options/user-namespace.ts';
import { caller } from '../../runner/container/userns.ts';
import { collect } from './collect.ts';

/** What the options of `addNamespaceFlags` give. */
export interface NamespaceFlags {
  readonly pid?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly cgroupns?: string;
  readonly userns?: string;
  readonly uidmap?: readonly string[];
  readonly gidmap?: readonly string[];
  readonly domainname?: string;
  readonly timeOffset?: readonly string[];
}

/** Options of the container's namespaces. */
export function addNamespaceFlags(command: Command): Command {
  return command
    .optionsGroup('Namespaces:')
    .option('--pid <namespace>', "processes: private (default), host, or container:NAME for another container's")
    .option('--ipc <namespace>', 'shared memory and queues: private (default), shareable, host, none, container:NAME')
    .option('--uts <namespace>', "host name: private (default), host, or container:NAME for another container's")
    .option('--cgroupns <namespace>', 'what it sees of control groups: private (default) or host')
    .option(
      '--userns <namespace>',
      "users: host (default), those of lamina itself; keep-id[:uid=N,gid=N,size=N], an ordinary user's container whose user " +
        "is the caller; nomap, one that the caller has no part in; auto[:size=N,uidmapping=I:O:N,gidmapping=I:O:N], root's with " +
        'ids of its own, of the range of "containers" in /etc/subuid; container:NAME',
    )
    .option(
      '--uidmap <inside:outside[:count]>',
      "users that are others outside, of an ordinary user's ids from 0 on; can be repeated",
      collect,
    )
    .option('--gidmap <inside:outside[:count]>', 'the same of groups; without it, as --uidmap', collect)
    .option('--domainname <name>', 'NIS domain name')
    .option(
      '--time-offset <clock=seconds>',
      'by how much its monotonic or boottime clock is ahead; can be repeated',
      collect,
    )
    .optionsGroup('Options:');
}

export function namespaceOptionsOf(flags: NamespaceFlags): NamespaceOptions {
  const { pid, ipc, uts, cgroupns, domainname } = flags;
  const parse = (option: string, text: string | undefined, ...words: string[]): string =>
    text === undefined ? 'private' : parseNamespace(option, text, ...words);
  return {
    ...OWN_NAMESPACES,
    pid: parse('pid', pid, 'container'),
    ipc: parse('ipc', ipc, 'none', 'container'),
    uts: parse('uts', uts, 'container'),
    cgroup: parse('cgroupns', cgroupns),
    domainname: domainname === undefined ? undefined : checkHostname(domainname),
    users: parseUserNamespace(flags, caller),
    timeOffsets: flags.timeOffset?.map(parseTimeOffset),
  };
}

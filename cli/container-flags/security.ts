import { type Command } from 'commander';
import { parseCapability } from '../../runner/container/capabilities.ts';
import { ORDINARY_SECURITY, type SecurityOptions } from '../../runner/container/options/security.ts';
import { parseDevice } from '../../runner/container/options/devices.ts';
import { readSecurityOptions } from '../../runner/container/options/security-opt.ts';
import { parseSysctl } from '../../runner/container/options/sysctls.ts';
import { parseUlimit } from '../../runner/container/options/ulimits.ts';
import { collect } from './collect.ts';

/** What the options of `addSecurityFlags` give. */
export interface SecurityFlags {
  readonly privileged?: true;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly securityOpt?: readonly string[];
  readonly ulimit?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly groupAdd?: readonly string[];
  readonly umask?: string;
  readonly device?: readonly string[];
}

const SECURITY_OPT =
  'seccomp=FILE|unconfined: system calls that it may make; no-new-privileges: no setuid program has an effect; ' +
  'apparmor=PROFILE|unconfined; label=disable; mask=PATH[:PATH...], unmask=PATH[:PATH...]|ALL: what of /proc and /sys ' +
  'is hidden; systempaths=unconfined: nothing is; can be repeated';

/** Options of what the container's processes may do. */
export function addSecurityFlags(command: Command): Command {
  return command
    .optionsGroup('Security:')
    .option('--privileged', 'all capabilities, no seccomp filter, all of /proc and /sys, all devices of the host')
    .option('--cap-add <capability>', "one more than docker's default set, or ALL; can be repeated", collectList)
    .option('--cap-drop <capability>', "one less than docker's default set, or ALL; can be repeated", collectList)
    .option('--security-opt <name[=value]>', SECURITY_OPT, collect)
    .option('--device <host[:inside[:rwm]]>', 'device of the host, or all in a directory; can be repeated', collect)
    .option('--ulimit <name=soft[:hard]>', 'resource limit, such as nofile=1024:2048; can be repeated', collect)
    .option('--sysctl <name=value>', 'kernel parameter of a namespace of its own; can be repeated', collect)
    .option('--group-add <group>', "a group of the user's besides, or keep-groups; can be repeated", collect)
    .option('--umask <mask>', 'of new files, in octal (default: 0022)')
    .optionsGroup('Options:');
}

// As podman has it, several names may stand in one word.
function collectList(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...value.split(',')];
}

export function securityOptionsOf(flags: SecurityFlags): SecurityOptions {
  const { capAdd = [], capDrop = [], securityOpt = [], ulimit = [], sysctl = [], groupAdd = [], umask } = flags;
  const keepGroups = groupAdd.includes('keep-groups');
  if (keepGroups && groupAdd.length > 1)
    throw new Error('--group-add keep-groups stands alone: it keeps the groups as they are');
  return {
    ...ORDINARY_SECURITY,
    ...readSecurityOptions(securityOpt, ORDINARY_SECURITY),
    privileged: flags.privileged === true,
    add: capAdd.map(parseCapability),
    drop: capDrop.map(parseCapability),
    limits: ulimit.map(parseUlimit),
    sysctls: sysctl.map(parseSysctl),
    groups: keepGroups ? [] : groupAdd,
    keepGroups,
    devices: (flags.device ?? []).flatMap(parseDevice),
    ...(umask === undefined ? {} : { umask: parseUmask(umask) }),
  };
}

function parseUmask(text: string): number {
  if (/^0?[0-7]{1,4}$/.test(text) && parseInt(text, 8) <= 0o777) return parseInt(text, 8);
  throw new Error(`--umask ${JSON.stringify(text)} is not an octal number up to 0777`);
}

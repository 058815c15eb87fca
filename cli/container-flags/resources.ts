import { type Command, Option } from 'commander';
import { parseDeviceRule } from '../../runner/container/options/device-rule.ts';
import { type LimitFlags, parseLimits, parseOomScoreAdj, parseShmSize } from '../../runner/container/options/limits.ts';
import { type ResourceOptions, isLimited } from '../../runner/container/options/resources.ts';
import { complain } from '../complain.ts';
import { collect } from './collect.ts';

/** What the options of `addResourceFlags` give. */
export interface ResourceFlags extends LimitFlags {
  readonly kernelMemory?: string;
  readonly shmSize?: string;
  readonly oomScoreAdj?: string;
  readonly cgroups: ResourceOptions['cgroups'];
  readonly cgroupParent?: string;
  readonly deviceCgroupRule?: readonly string[];
}

const GROUP = 'Limits:';
/** podman's, so that a program which forks for ever fills its container, and not the machine. */
const DEFAULT_PIDS = 2048;

/** Options of what the container may use that can be changed while it runs. */
export function addLimitFlags(command: Command): Command {
  return command
    .optionsGroup(GROUP)
    .option('-m, --memory <bytes>', 'memory, with b, k, m or g behind the number; at least 6m')
    .option('--memory-swap <bytes>', 'memory and swap together; -1 for any swap (default: twice --memory)')
    .option('--memory-reservation <bytes>', 'memory that is left to it when the machine runs short')
    .option('--cpus <number>', 'CPUs that it may keep busy, such as 1.5')
    .option('--cpu-period <us>', 'length of the period that --cpu-quota is of (default: 100000)')
    .option('--cpu-quota <us>', 'CPU time in a period; -1 for no limit')
    .option('-c, --cpu-shares <weight>', "weight beside others' when CPUs are busy, 2 to 262144 (default: 1024)")
    .option('--cpu-rt-period <us>', 'the period of --cpu-rt-runtime; cgroup version 1')
    .option('--cpu-rt-runtime <us>', 'real-time CPU time in a period; cgroup version 1')
    .option('--cpuset-cpus <list>', 'CPUs that it may run on, such as 0-2,4')
    .option('--cpuset-mems <list>', 'memory nodes that it may use')
    .option('--pids-limit <number>', `processes and threads; -1 for no limit (default: ${DEFAULT_PIDS})`)
    .option('--blkio-weight <weight>', "weight beside others' when disks are busy, 10 to 1000");
}

/** Options of what the container may use. */
export function addResourceFlags(command: Command): Command {
  return addLimitFlags(command)
    .option('--blkio-weight-device <path:weight>', 'the same for one disk; can be repeated', collect)
    .option('--device-read-bps <path:bytes>', 'bytes a second that are read from a disk; can be repeated', collect)
    .option('--device-write-bps <path:bytes>', 'bytes a second that are written to a disk; can be repeated', collect)
    .option('--device-read-iops <path:number>', 'reads a second of a disk; can be repeated', collect)
    .option('--device-write-iops <path:number>', 'writes a second to a disk; can be repeated', collect)
    .option('--device-cgroup-rule <rule>', 'devices that it may use, such as "c 10:* rwm"; can be repeated', collect)
    .option('--memory-swappiness <number>', 'how readily memory is swapped out, 0 to 100; cgroup version 1')
    .option('--oom-kill-disable', 'wait where --memory is used up, instead of killing; cgroup version 1')
    .option('--shm-size <bytes>', 'size of /dev/shm (default: 64m)')
    .option('--oom-score-adj <number>', 'whom the kernel kills first when the machine is out of memory, -1000 to 1000')
    .addOption(new Option('--kernel-memory <bytes>', 'of old kernels: --memory counts it, too').hideHelp())
    .option('--cgroup-parent <path>', "control group, from the hierarchy's root, in which the container's is made")
    .option(
      '--cgroup-conf <file=value>',
      'what is written to a file of its cgroup of version 2; can be repeated',
      collect,
    )
    .addOption(
      new Option('--cgroups <when>', 'disabled: it stays in the control group of its caller, without limits')
        .choices(['enabled', 'disabled'])
        .default('enabled'),
    )
    .optionsGroup('Options:');
}

export function resourceOptionsOf(flags: ResourceFlags): ResourceOptions {
  const { cgroups, cgroupParent, kernelMemory } = flags;
  const given = parseLimits(flags);
  if (kernelMemory !== undefined) complain('--kernel-memory is ignored: kernels count that memory in --memory');
  const devices = (flags.deviceCgroupRule ?? []).map(parseDeviceRule);
  if (cgroups === 'disabled' && (isLimited(given) || cgroupParent !== undefined || devices.length > 0)) {
    throw new Error('--cgroups=disabled is a container without limits: leave it out, or the limits');
  }
  return {
    limits: { ...given, pidsLimit: given.pidsLimit ?? { value: DEFAULT_PIDS, isDefault: true } },
    cgroups,
    cgroupParent,
    devices,
    shmSize: parseShmSize(flags.shmSize),
    oomScoreAdj: parseOomScoreAdj(flags.oomScoreAdj),
  };
}

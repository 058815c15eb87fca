import { type DeviceRule } from './device-rule.ts';

/** What the command line asks for of the container's control group. */
export interface ResourceOptions {
  readonly limits: Limits;
  /** `disabled`: none is made. */
  readonly cgroups: 'enabled' | 'disabled';
  /** The group, from the root of the hierarchy, under which the container's is made. */
  readonly cgroupParent?: string | undefined;
  /** Devices that it may use beside those of every container. */
  readonly devices?: readonly DeviceRule[];
  /** Bytes of /dev/shm. */
  readonly shmSize?: number | undefined;
  /** Devices that are in its /dev; they need to be allowed only where others are forbidden. */
  readonly givenDevices?: readonly DeviceRule[];
  /** -1,000 to 1,000. */
  readonly oomScoreAdj?: number | undefined;
}

/** What a container may use, as docker and podman have it. Absent is no limit of its own. JSON-serialisable. */
export interface Limits {
  /** Bytes, or -1 for no limit. */
  readonly memory?: number | undefined;
  /** Bytes of memory and swap together, or -1 for no limit; twice the memory where only that is limited. */
  readonly memorySwap?: number | undefined;
  /** Bytes. */
  readonly memoryReservation?: number | undefined;
  /** 0 to 100. */
  readonly memorySwappiness?: number | undefined;
  readonly oomKillDisable?: true | undefined;
  /** CPUs that are busy at a time; not along with `cpuPeriod` and `cpuQuota`. */
  readonly cpus?: number | undefined;
  /** Microseconds. */
  readonly cpuPeriod?: number | undefined;
  /** Microseconds of CPU time in a period, or -1. */
  readonly cpuQuota?: number | undefined;
  readonly cpuShares?: number | undefined;
  readonly cpuRtPeriod?: number | undefined;
  readonly cpuRtRuntime?: number | undefined;
  /** `0-2,4`. */
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  readonly pidsLimit?:
    | {
        /** Or -1. */
        readonly value: number;
        readonly isDefault: boolean;
      }
    | undefined;
  /** 10 to 1,000. */
  readonly blkioWeight?: number | undefined;
  readonly blkioWeightDevice?: readonly DeviceValue[] | undefined;
  /** Bytes a second. */
  readonly deviceReadBps?: readonly DeviceValue[] | undefined;
  readonly deviceWriteBps?: readonly DeviceValue[] | undefined;
  /** Operations a second. */
  readonly deviceReadIops?: readonly DeviceValue[] | undefined;
  readonly deviceWriteIops?: readonly DeviceValue[] | undefined;
  /** Files of cgroup version 2 with what is written to them. */
  readonly conf?: Readonly<Record<string, string>> | undefined;
}

export interface DeviceValue {
  /** Of a block device of the host. */
  readonly path: string;
  readonly value: number;
}

export const UNLIMITED = -1;

export function hasMemoryLimit({ memory }: Limits): boolean {
  return memory !== undefined && memory !== UNLIMITED;
}

/** Memory and swap together, in bytes, or -1. */
export function swapLimit({ memory = UNLIMITED, memorySwap }: Limits): number {
  if (memorySwap !== undefined) return memorySwap;
  return memory === UNLIMITED ? UNLIMITED : 2 * memory;
}

/** Whether anything is limited that somebody asked for. */
export function isLimited(resources: Limits): boolean {
  const { pidsLimit, ...others } = resources;
  const isPidsAsked = pidsLimit?.isDefault === false;
  return isPidsAsked || Object.values(others).some((value) => value !== undefined);
}

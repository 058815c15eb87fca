import { deviceNumber } from './block-device.ts';
import { type DeviceValue, type Limits, UNLIMITED, hasMemoryLimit, swapLimit } from '../options/resources.ts';

/** A value for one of the files of a group. */
export interface Setting {
  /** What asked for it. */
  readonly flag: string;
  readonly controller: string;
  /** Of which the first is written that the kernel has. */
  readonly choices: readonly Choice[];
  /** Nobody asked for it: where it cannot be had, the container runs without. */
  readonly isOptional?: true;
}

interface Choice {
  readonly file: string;
  readonly value: string;
}

const DEFAULT_PERIOD = 100_000;

function setting(flag: string, file: string, value: number | string | undefined): Setting[] {
  if (value === undefined) return [];
  return [{ flag, controller: file.slice(0, file.indexOf('.')), choices: [{ file, value: String(value) }] }];
}

function pids({ pidsLimit }: Limits): Setting[] {
  if (pidsLimit === undefined) return [];
  const [limit] = setting('--pids-limit', 'pids.max', pidsLimit.value === UNLIMITED ? 'max' : pidsLimit.value);
  return limit === undefined ? [] : [pidsLimit.isDefault ? { ...limit, isOptional: true } : limit];
}

function cpusets({ cpusetCpus, cpusetMems }: Limits): Setting[] {
  return [
    ...setting('--cpuset-cpus', 'cpuset.cpus', cpusetCpus),
    ...setting('--cpuset-mems', 'cpuset.mems', cpusetMems),
  ];
}

/** Files and values of version 1. A limit of memory comes before that of memory and swap, which must not be lower. */
export function settingsV1(limits: Limits): Setting[] {
  const { memory, memoryReservation, memorySwappiness, oomKillDisable } = limits;
  const swap = hasMemoryLimit(limits) || limits.memorySwap !== undefined ? swapLimit(limits) : undefined;
  const swapSettings = setting('--memory-swap', 'memory.memsw.limit_in_bytes', swap);
  const isSwapAsked = limits.memorySwap !== undefined;
  return [
    ...setting('--memory', 'memory.limit_in_bytes', memory),
    ...swapSettings.map((one): Setting => (isSwapAsked ? one : { ...one, isOptional: true })),
    ...setting('--memory-reservation', 'memory.soft_limit_in_bytes', memoryReservation),
    ...setting('--memory-swappiness', 'memory.swappiness', memorySwappiness),
    ...setting('--oom-kill-disable', 'memory.oom_control', oomKillDisable === true ? 1 : undefined),
    ...setting('--cpu-shares', 'cpu.shares', limits.cpuShares),
    ...cpuTimeV1(limits),
    ...setting('--cpu-rt-period', 'cpu.rt_period_us', limits.cpuRtPeriod),
    ...setting('--cpu-rt-runtime', 'cpu.rt_runtime_us', limits.cpuRtRuntime),
    ...cpusets(limits),
    ...pids(limits),
    ...blockV1(limits),
  ];
}

function cpuTimeV1({ cpus, cpuPeriod, cpuQuota }: Limits): Setting[] {
  if (cpus === undefined) {
    return [
      ...setting('--cpu-period', 'cpu.cfs_period_us', cpuPeriod),
      ...setting('--cpu-quota', 'cpu.cfs_quota_us', cpuQuota),
    ];
  }
  return [
    ...setting('--cpus', 'cpu.cfs_period_us', DEFAULT_PERIOD),
    ...setting('--cpus', 'cpu.cfs_quota_us', quotaOf(cpus)),
  ];
}

function quotaOf(cpus: number): number {
  return Math.round(cpus * DEFAULT_PERIOD);
}

function blockV1({ blkioWeight, ...limits }: Limits): Setting[] {
  const weight = (flag: string, suffix: string, value: string): Setting => ({
    flag,
    controller: 'blkio',
    choices: ['blkio.bfq.weight', 'blkio.weight'].map((file) => ({ file: file + suffix, value })),
  });
  return [
    ...(blkioWeight === undefined ? [] : [weight('--blkio-weight', '', String(blkioWeight))]),
    ...(limits.blkioWeightDevice ?? []).map((device) =>
      weight('--blkio-weight-device', '_device', `${deviceNumber(device.path)} ${device.value}`),
    ),
    ...throttles(limits).flatMap(({ flag, v1, devices }) =>
      devices.flatMap(({ path, value }) =>
        setting(flag, `blkio.throttle.${v1}_device`, `${deviceNumber(path)} ${value}`),
      ),
    ),
  ];
}

interface Throttle {
  readonly flag: string;
  readonly v1: string;
  readonly v2: string;
  readonly devices: readonly DeviceValue[];
}

function throttles(limits: Limits): Throttle[] {
  const { deviceReadBps = [], deviceWriteBps = [], deviceReadIops = [], deviceWriteIops = [] } = limits;
  return [
    { flag: '--device-read-bps', v1: 'read_bps', v2: 'rbps', devices: deviceReadBps },
    { flag: '--device-write-bps', v1: 'write_bps', v2: 'wbps', devices: deviceWriteBps },
    { flag: '--device-read-iops', v1: 'read_iops', v2: 'riops', devices: deviceReadIops },
    { flag: '--device-write-iops', v1: 'write_iops', v2: 'wiops', devices: deviceWriteIops },
  ];
}

/** Files and values of version 2. */
export function settingsV2(limits: Limits): Setting[] {
  refuseV1Only(limits);
  return [
    ...setting('--memory', 'memory.max', limitText(limits.memory)),
    ...swapV2(limits),
    ...setting('--memory-reservation', 'memory.low', limitText(limits.memoryReservation)),
    ...setting('--cpu-shares', 'cpu.weight', weightOfShares(limits.cpuShares)),
    ...cpuMax(limits),
    ...cpusets(limits),
    ...pids(limits),
    ...blockV2(limits),
    ...Object.entries(limits.conf ?? {}).flatMap(([file, value]) => setting('--cgroup-conf', file, value)),
  ];
}

function refuseV1Only({ memorySwappiness, oomKillDisable, cpuRtPeriod, cpuRtRuntime }: Limits): void {
  const given: readonly (readonly [flag: string, value: unknown])[] = [
    ['--memory-swappiness', memorySwappiness],
    ['--oom-kill-disable', oomKillDisable],
    ['--cpu-rt-period', cpuRtPeriod],
    ['--cpu-rt-runtime', cpuRtRuntime],
  ];
  const [flag] = given.find(([, value]) => value !== undefined) ?? [];
  if (flag !== undefined)
    throw new Error(`${flag} is of cgroup version 1, and this machine has version 2: leave it out`);
}

/** Docker's limit is of memory and swap together, the kernel's of swap alone. */
function swapV2(limits: Limits): Setting[] {
  const { memory, memorySwap } = limits;
  if (!hasMemoryLimit(limits) && memorySwap === undefined) return [];
  const both = swapLimit(limits);
  const swap = both === UNLIMITED ? 'max' : String(both - (memory ?? 0));
  const settings = setting('--memory-swap', 'memory.swap.max', swap);
  return settings.map((one): Setting => (memorySwap === undefined ? { ...one, isOptional: true } : one));
}

function limitText(bytes: number | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  return bytes === UNLIMITED ? 'max' : String(bytes);
}

/**
 * Shares of 2 to 262,144 on weights of 1 to 10,000, so that both ends and the two defaults, 1,024 and 100, meet: the
 * curve on which the OCI runtimes have agreed.
 */
export function weightOfShares(shares: number | undefined): number | undefined {
  if (shares === undefined || shares === 0) return undefined;
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const power = Math.log2(shares);
  const exponent = (power * power + 125 * power) / 612 - 7 / 34;
  // Floats end just above 100 for 1,024.
  return Math.ceil(10 ** exponent - 1e-9);
}

function cpuMax({ cpus, cpuPeriod, cpuQuota }: Limits): Setting[] {
  if (cpus !== undefined) return setting('--cpus', 'cpu.max', `${quotaOf(cpus)} ${DEFAULT_PERIOD}`);
  if (cpuPeriod === undefined && cpuQuota === undefined) return [];
  const quota = cpuQuota === undefined || cpuQuota <= 0 ? 'max' : cpuQuota;
  const flag = cpuQuota === undefined ? '--cpu-period' : '--cpu-quota';
  return setting(flag, 'cpu.max', `${quota} ${cpuPeriod ?? DEFAULT_PERIOD}`);
}

function blockV2(limits: Limits): Setting[] {
  const { blkioWeight, blkioWeightDevice = [] } = limits;
  return [
    ...(blkioWeight === undefined ? [] : [ioWeight('--blkio-weight', '', blkioWeight)]),
    ...blkioWeightDevice.map(({ path, value }) => ioWeight('--blkio-weight-device', `${deviceNumber(path)} `, value)),
    ...throttles(limits).flatMap(({ flag, v2, devices }) =>
      devices.flatMap(({ path, value }) => setting(flag, 'io.max', `${deviceNumber(path)} ${v2}=${value}`)),
    ),
  ];
}

/** BFQ has docker's range of 10 to 1,000; that of io.weight is 1 to 10,000. */
function ioWeight(flag: string, device: string, weight: number): Setting {
  const wide = 1 + Math.trunc(((weight - 10) * 9999) / 990);
  return {
    flag,
    controller: 'io',
    choices: [
      { file: 'io.bfq.weight', value: `${device}${weight}` },
      { file: 'io.weight', value: `${device === '' ? 'default ' : device}${wide}` },
    ],
  };
}

import { type DeviceValue, type Limits, UNLIMITED } from './resources.ts';

/** Limits as a command line gives them. */
export interface LimitFlags {
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly memoryReservation?: string;
  readonly memorySwappiness?: string;
  readonly oomKillDisable?: boolean;
  readonly cpus?: string;
  readonly cpuPeriod?: string;
  readonly cpuQuota?: string;
  readonly cpuShares?: string;
  readonly cpuRtPeriod?: string;
  readonly cpuRtRuntime?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: string;
  readonly blkioWeight?: string;
  readonly blkioWeightDevice?: readonly string[];
  readonly deviceReadBps?: readonly string[];
  readonly deviceWriteBps?: readonly string[];
  readonly deviceReadIops?: readonly string[];
  readonly deviceWriteIops?: readonly string[];
  readonly cgroupConf?: readonly string[];
}

const MIB = 2 ** 20;
// Docker's: with less no program comes up.
const LEAST_MEMORY = 6 * MIB;

/**
 * Limits, checked as docker checks them.
 *
 * @param before what holds already, of which the flags change a part.
 * @throws where a value cannot be, alone or with another.
 */
export function parseLimits(flags: LimitFlags, before: Limits = {}): Limits {
  const given = { ...memoryLimits(flags), ...cpuLimits(flags), ...blockLimits(flags) };
  const limits = merge(before, { ...given, pidsLimit: pidsLimitOf(flags), conf: confOf(flags.cgroupConf) });
  checkMemory(limits);
  return limits;
}

function merge(before: Limits, given: Limits): Limits {
  const changes = Object.entries(given).filter(([, value]) => value !== undefined);
  // One way to limit CPU time takes the other's place.
  const cpu =
    given.cpus !== undefined
      ? { cpuPeriod: undefined, cpuQuota: undefined }
      : given.cpuPeriod !== undefined || given.cpuQuota !== undefined
        ? { cpus: undefined }
        : {};
  return { ...before, ...cpu, ...Object.fromEntries(changes) };
}

function memoryLimits(flags: LimitFlags): Limits {
  const memory = bytes('--memory', flags.memory, LEAST_MEMORY);
  const memorySwap = bytes('--memory-swap', flags.memorySwap, 0);
  const memoryReservation = bytes('--memory-reservation', flags.memoryReservation, LEAST_MEMORY);
  const memorySwappiness = integer('--memory-swappiness', flags.memorySwappiness, 0, 100);
  const oomKillDisable = flags.oomKillDisable === true ? true : undefined;
  return { memory, memorySwap, memoryReservation, memorySwappiness, oomKillDisable };
}

function checkMemory({ memory = UNLIMITED, memorySwap = UNLIMITED, memoryReservation }: Limits): void {
  if (memoryReservation !== undefined && memory !== UNLIMITED && memoryReservation > memory) {
    throw new Error('--memory-reservation is a part of --memory, and must not be more');
  }
  if (memorySwap === UNLIMITED) return;
  if (memory === UNLIMITED) throw new Error('--memory-swap is of memory and swap together: give --memory with it');
  if (memorySwap < memory)
    throw new Error('--memory-swap is of memory and swap together, and must not be less than --memory');
}

function cpuLimits(flags: LimitFlags): Limits {
  const { cpus, cpusetCpus, cpusetMems } = flags;
  const cpuPeriod = integer('--cpu-period', flags.cpuPeriod, 1_000, 1_000_000);
  const cpuQuota = integer('--cpu-quota', flags.cpuQuota, UNLIMITED, Infinity);
  if (cpuQuota !== undefined && cpuQuota > 0 && cpuQuota < 1_000) {
    throw new Error('--cpu-quota is at least 1000 microseconds, or -1 for no limit');
  }
  if (cpus !== undefined && (cpuPeriod !== undefined || cpuQuota !== undefined)) {
    throw new Error('--cpus sets what --cpu-period and --cpu-quota set: give it, or those');
  }
  return {
    cpus: cpuCount(cpus),
    cpuPeriod,
    cpuQuota,
    cpuShares: integer('--cpu-shares', flags.cpuShares, 0, Infinity) || undefined,
    cpuRtPeriod: integer('--cpu-rt-period', flags.cpuRtPeriod, 0, Infinity),
    cpuRtRuntime: integer('--cpu-rt-runtime', flags.cpuRtRuntime, UNLIMITED, Infinity),
    cpusetCpus: numberSet('--cpuset-cpus', cpusetCpus),
    cpusetMems: numberSet('--cpuset-mems', cpusetMems),
  };
}

function cpuCount(cpus: string | undefined): number | undefined {
  if (cpus === undefined) return undefined;
  const count = /^\d*\.?\d+$|^\d+\.$/.test(cpus) ? Number(cpus) : NaN;
  if (count === 0) return undefined;
  if (count >= 0.01) return count;
  throw new Error(`--cpus ${JSON.stringify(cpus)} is not a number of CPUs of at least 0.01, such as 1.5`);
}

function blockLimits(flags: LimitFlags): Limits {
  const rate = (text: string): number => parseBytes(text) ?? NaN;
  const count = (text: string): number => (/^\d+$/.test(text) ? Number(text) : NaN);
  return {
    blkioWeight: integer('--blkio-weight', flags.blkioWeight, 0, 1_000, checkWeight) || undefined,
    blkioWeightDevice: devices('--blkio-weight-device', flags.blkioWeightDevice, count, checkWeight),
    deviceReadBps: devices('--device-read-bps', flags.deviceReadBps, rate),
    deviceWriteBps: devices('--device-write-bps', flags.deviceWriteBps, rate),
    deviceReadIops: devices('--device-read-iops', flags.deviceReadIops, count),
    deviceWriteIops: devices('--device-write-iops', flags.deviceWriteIops, count),
  };
}

function checkWeight(flag: string, weight: number): void {
  if (weight !== 0 && weight < 10) throw new Error(`${flag} is 10 to 1000, or 0 for none`);
}

function devices(
  flag: string,
  texts: readonly string[] = [],
  parse: (text: string) => number,
  check?: (flag: string, value: number) => void,
): DeviceValue[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => {
    const [, path, number = ''] = /^(\/.*):([^:]*)$/.exec(text) ?? [];
    const value = parse(number);
    if (path === undefined || !(value >= 0)) throw new Error(`${flag} ${JSON.stringify(text)} is not /dev/NAME:VALUE`);
    check?.(flag, value);
    return { path, value };
  });
}

function pidsLimitOf({ pidsLimit }: LimitFlags): Limits['pidsLimit'] {
  const value = integer('--pids-limit', pidsLimit, UNLIMITED, Infinity);
  return value === undefined ? undefined : { value: value === 0 ? UNLIMITED : value, isDefault: false };
}

function confOf(texts: readonly string[] = []): Limits['conf'] {
  if (texts.length === 0) return undefined;
  const entries = texts.map((text) => {
    const [, file, value] = /^([a-z_0-9]+\.[a-zA-Z_.0-9]+)=(.*)$/.exec(text) ?? [];
    if (file === undefined || value === undefined) {
      throw new Error(`--cgroup-conf ${JSON.stringify(text)} is not FILE=VALUE, such as memory.high=1073741824`);
    }
    return [file, value] as const;
  });
  return Object.fromEntries(entries);
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: MIB,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** `512m`, `1.5g`, `100kb`: bytes, or undefined. */
function parseBytes(text: string): number | undefined {
  const [, digits, letter = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text) ?? [];
  const unit = UNITS[letter.toLowerCase()];
  return digits === undefined || unit === undefined ? undefined : Math.floor(Number(digits) * unit);
}

/** Bytes of at least `least`; 0 and -1 are no limit. */
function bytes(flag: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  if (text === '-1') return UNLIMITED;
  const value = parseBytes(text);
  if (value === undefined) {
    throw new Error(`${flag} ${JSON.stringify(text)} is not a number of bytes, with b, k, m or g behind it`);
  }
  if (value === 0) return undefined;
  if (value < least) throw new Error(`${flag} ${text} is too little: at least ${least / MIB}m`);
  return value;
}

function integer(
  flag: string,
  text: string | undefined,
  least: number,
  most: number,
  check?: (flag: string, value: number) => void,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most) || !Number.isSafeInteger(value)) {
    const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new Error(`${flag} ${JSON.stringify(text)} is not a whole number ${range}`);
  }
  check?.(flag, value);
  return value;
}

/** Numbers and ranges of numbers, as the kernel's cpuset takes them. */
function numberSet(flag: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const isSet = text.split(',').every((range) => {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
    return first !== undefined && (last === undefined || Number(first) <= Number(last));
  });
  if (!isSet) throw new Error(`${flag} ${JSON.stringify(text)} is not a list of numbers and ranges, such as 0-2,4`);
  return text;
}

/** Bytes of /dev/shm; undefined for docker's default. */
export function parseShmSize(text: string | undefined): number | undefined {
  const size = bytes('--shm-size', text, 1);
  return size === UNLIMITED ? undefined : size;
}

/** Of the kernel's -1,000, never to be killed for want of memory, to 1,000. */
export function parseOomScoreAdj(text: string | undefined): number | undefined {
  return integer('--oom-score-adj', text, -1_000, 1_000);
}

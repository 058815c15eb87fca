/** A resource limit; JSON. */
export interface ResourceLimit {
  /** As `--ulimit` has it: `nofile`. */
  readonly name: string;
  /** Decimal digits; undefined for no limit. */
  readonly soft?: string | undefined;
  readonly hard?: string | undefined;
}

/** RLIMIT_* of asm-generic/resource.h, by docker's names. */
export const RESOURCE_NUMBERS: Readonly<Record<string, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

const U64_LIMIT = 1n << 64n;

/** `NAME=SOFT[:HARD]`, -1 for no limit. */
export function parseUlimit(text: string): ResourceLimit {
  const [, name = '', soft = '', hard = soft] = /^([a-z]+)=([^:]+)(?::([^:]+))?$/.exec(text) ?? [];
  if (name === '') throw new Error(`--ulimit ${JSON.stringify(text)} is not NAME=SOFT[:HARD]`);
  if (RESOURCE_NUMBERS[name] === undefined) {
    throw new Error(`--ulimit ${text}: ${name} is not one of ${Object.keys(RESOURCE_NUMBERS).join(', ')}`);
  }
  const limit = { name, soft: parseValue(soft, text), hard: parseValue(hard, text) };
  if (limit.hard !== undefined && (limit.soft === undefined || BigInt(limit.soft) > BigInt(limit.hard))) {
    throw new Error(`--ulimit ${text}: the soft limit is above the hard one`);
  }
  return limit;
}

function parseValue(value: string, text: string): string | undefined {
  if (value === '-1' || value === 'unlimited') return undefined;
  if (/^\d+$/.test(value) && BigInt(value) < U64_LIMIT) return value;
  throw new Error(`--ulimit ${text}: ${JSON.stringify(value)} is no number, and not -1 for no limit`);
}

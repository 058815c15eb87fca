/** What an image may ask of the machine that takes it. `--limit` sets them. */
export interface Limits {
  /** Bytes of an image archive, uncompressed, and of all files in it; of a pull, bytes of all layers as they travel. */
  readonly archiveBytes: number;
  /** Bytes of one layer, uncompressed. */
  readonly layerBytes: number;
  /** Uncompressed to compressed bytes of one layer, and of a whole archive that is compressed. */
  readonly ratio: number;
  /** Uncompressed bytes up to which the ratio does not matter: a few zeros compress a thousand times. */
  readonly ratioFreeBytes: number;
  /** Entries of one archive. */
  readonly entries: number;
  /** Layers of an image. */
  readonly layers: number;
  /** Entries of an index, those of all indexes in it included: images, platforms. */
  readonly manifests: number;
  /** Directories above an entry. */
  readonly depth: number;
  /** Bytes of one PAX header: all extended attributes of a file lie in it. */
  readonly paxBytes: number;
  /** Bytes of what is kept in memory until the end: names, directories' metadata, manifests of an archive. */
  readonly retainedBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  archiveBytes: 256 * 2 ** 30,
  layerBytes: 128 * 2 ** 30,
  ratio: 250,
  ratioFreeBytes: 256 * 2 ** 20,
  entries: 1_000_000,
  layers: 500,
  manifests: 10_000,
  depth: 256,
  paxBytes: 2 ** 20,
  retainedBytes: 256 * 2 ** 20,
};

/** For what was taken under whichever limits, and is only to be looked at again. */
export const NO_LIMITS = Object.fromEntries(
  Object.keys(DEFAULT_LIMITS).map((name) => [name, Infinity]),
) as unknown as Limits;

/** Bytes of a manifest, an index or a configuration; registries have the same limit. */
export const DOCUMENT_BYTES = 4 * 2 ** 20;

interface Named {
  readonly limit: keyof Limits;
  /** For help. */
  readonly about: string;
}

/** Names of the limits on a command line. */
const NAMES = {
  'archive-size': { limit: 'archiveBytes', about: 'bytes of an image archive, or of all layers of a pull' },
  'layer-size': { limit: 'layerBytes', about: 'bytes of one layer, uncompressed' },
  ratio: { limit: 'ratio', about: 'uncompressed to compressed bytes, beyond the first 256 MiB' },
  entries: { limit: 'entries', about: 'entries of one archive' },
  layers: { limit: 'layers', about: 'layers of an image' },
  manifests: { limit: 'manifests', about: 'images in an archive or index' },
  depth: { limit: 'depth', about: 'directories above an entry' },
  'pax-size': { limit: 'paxBytes', about: 'bytes of one PAX header, or map of a sparse file' },
  retained: { limit: 'retainedBytes', about: 'bytes of names and metadata that are kept in memory' },
} as const satisfies Readonly<Record<string, Named>>;

type LimitName = keyof typeof NAMES;

/** For help: all names. */
const LIMIT_NAMES = Object.keys(NAMES).join(', ');

function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(NAMES, name);
}

/** Limits as options `NAME=VALUE` change them. */
export function parseLimits(options: readonly string[]): Limits {
  const changes = options.map((option) => {
    const [name = '', value = '', ...rest] = option.split('=');
    if (!isLimitName(name) || rest.length > 0) {
      throw new Error(`limit ${JSON.stringify(option)} is not NAME=VALUE, where NAME is one of ${LIMIT_NAMES}`);
    }
    return [NAMES[name].limit, parseSize(value)] as const;
  });
  return { ...DEFAULT_LIMITS, ...Object.fromEntries(changes) };
}

/** An image asks for more than it may; says how to allow it. */
export function overLimit(what: string, limits: Limits, name: LimitName): Error {
  return new Error(`${what} is over the limit of ${limits[NAMES[name].limit]}; --limit ${name}=N sets another`);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `10g` -> bytes. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)i?b?$/i.exec(text);
  const unit = UNITS[match?.[2]?.toLowerCase() ?? '?'];
  if (match === null || unit === undefined) {
    throw new Error(`${JSON.stringify(text)} is not a number, with k, m, g or t where it is large`);
  }
  return Math.floor(Number(match[1]) * unit);
}

/** A line for each limit, with its default. */
export function describeLimits(): string[] {
  return Object.entries(NAMES).map(([name, { limit, about }]) => {
    return `  ${name.padEnd(14)}${about} (default: ${describeSize(DEFAULT_LIMITS[limit])})`;
  });
}

function describeSize(size: number): string {
  const [letter = '', unit = 1] = Object.entries(UNITS).findLast(([, unit]) => size >= unit && size % unit === 0) ?? [];
  return `${size / unit}${letter}`;
}

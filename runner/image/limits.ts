/** What an archive may ask of the machine that unpacks it. `lamina load --limit` sets them. */
export interface Limits {
  /** Bytes of all files of an image archive, as they lie in it. */
  readonly archiveBytes: number;
  /** Bytes of one layer, unpacked. */
  readonly layerBytes: number;
  /** Unpacked to packed bytes of one layer, and of a whole archive that is compressed. */
  readonly ratio: number;
  /** Unpacked bytes up to which the ratio does not matter: a few zeros compress a thousand times. */
  readonly ratioFreeBytes: number;
  /** Entries of one archive. */
  readonly entries: number;
  /** Directories above an entry. */
  readonly depth: number;
  /** Bytes of one PAX header: all extended attributes of a file lie in it. */
  readonly paxBytes: number;
  /** Bytes of directories' metadata, kept until the end of a layer, and of names to white out. */
  readonly retainedBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  archiveBytes: 256 * 2 ** 30,
  layerBytes: 128 * 2 ** 30,
  ratio: 250,
  ratioFreeBytes: 256 * 2 ** 20,
  entries: 1_000_000,
  depth: 256,
  paxBytes: 2 ** 20,
  retainedBytes: 256 * 2 ** 20,
};

/** Bytes of a manifest, an index or a configuration; registries have the same limit. */
export const DOCUMENT_BYTES = 4 * 2 ** 20;

/** Names of the limits on a command line. */
const NAMES = {
  'archive-size': 'archiveBytes',
  'layer-size': 'layerBytes',
  ratio: 'ratio',
  entries: 'entries',
  depth: 'depth',
  'pax-size': 'paxBytes',
  retained: 'retainedBytes',
} as const satisfies Readonly<Record<string, keyof Limits>>;

type LimitName = keyof typeof NAMES;

/** For help: all names. */
export const LIMIT_NAMES = Object.keys(NAMES).join(', ');

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
    return [NAMES[name], parseSize(value)] as const;
  });
  return { ...DEFAULT_LIMITS, ...Object.fromEntries(changes) };
}

/** An archive asks for more than it may; says how to allow it. */
export function overLimit(what: string, limits: Limits, name: LimitName): Error {
  return new Error(`${what} is over the limit of ${limits[NAMES[name]]}; load --limit ${name}=N sets another`);
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

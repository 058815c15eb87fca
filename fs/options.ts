import { type Backend, BACKENDS, type FuseOptions } from './fuse/options.ts';
import { type LayerPaths, parseDataOnly, parseLower, parseLowers, parsePath, splitUnescaped } from './layer-options.ts';
import { checkConflicts } from './option-conflicts.ts';
import { OptionError } from './option-error.ts';
import type { IdRange, OverlayOptions } from './overlay/options.ts';
import { type ByteString, toText } from './sys/text.ts';

/** What the strings of `-o` ask for. */
export interface ParsedOptions {
  readonly overlay: OverlayOptions;
  readonly fuse: FuseOptions;
  /** Options that we do not know, as they were given. */
  readonly unknown: readonly ByteString[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Draft {
  readonly overlay: Mutable<OverlayOptions> & { lowers: ByteString[] };
  readonly layers: LayerPaths;
  readonly fuse: Mutable<FuseOptions>;
  squashUid: number | undefined;
  squashGid: number | undefined;
  squashRoot: boolean;
  volatileMark: boolean;
}

type Apply = (draft: Draft, value: ByteString, name: ByteString) => void;

function parseNumber(value: ByteString, name: ByteString, highest = 0xffffffff): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(number <= highest)) throw new OptionError(`${name}=${toText(value)} is not a number from 0 to ${highest}`);
  return number;
}

/** `1` or nothing is yes, `0` is no. */
function parseBoolean(value: ByteString, name: ByteString): boolean {
  if (value === '' || value === '1' || value === 'on') return true;
  if (value === '0' || value === 'off') return false;
  throw new OptionError(`${name}=${toText(value)} is neither on (or 1) nor off (or 0)`);
}

/** Triples host:to:length joined by colons; podman puts one in front. */
function parseMapping(value: ByteString, name: ByteString): IdRange[] {
  const numbers = value
    .split(':')
    .filter((part) => part !== '')
    .map((part) => parseNumber(part, name));
  if (numbers.length === 0 || numbers.length % 3 !== 0) {
    throw new OptionError(`${name}=${toText(value)} is not made of triples host:to:length`);
  }
  const ranges: IdRange[] = [];
  for (let at = 0; at < numbers.length; at += 3) {
    ranges.push({ host: numbers[at] ?? 0, to: numbers[at + 1] ?? 0, length: numbers[at + 2] ?? 0 });
  }
  return ranges;
}

/** Seconds, also fractions. */
function parseTimeout(value: ByteString): number {
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(seconds)) throw new OptionError(`timeout=${toText(value)} is not a number of seconds`);
  return seconds;
}

/** One of the words that an option of overlayfs takes. */
function oneOf<Word extends string>(words: readonly Word[], value: ByteString, name: ByteString): Word {
  const word = words.find((candidate) => candidate === value);
  if (word !== undefined) return word;
  throw new OptionError(`${name}=${toText(value)} is none of ${words.slice(0, -1).join(', ')} and ${words.at(-1)}`);
}

const REDIRECT_DIR = ['on', 'follow', 'nofollow', 'off'] as const;
const VERITY = ['off', 'on', 'require'] as const;
const LAYER_INDEX = ['auto', 'off'] as const;
const UUID = ['null', 'off', 'on', 'auto'] as const;
/** Inode numbers are unique over all layers and constant whichever is asked for. */
const XINO = ['on', 'auto', 'off'] as const;

/** fuse-overlayfs has 0 and 1, overlayfs the words. */
function parseFsync(draft: Draft, value: ByteString, name: ByteString): void {
  if (value === 'volatile') draft.volatileMark = true;
  else draft.overlay.noSync = value !== 'auto' && value !== 'strict' && !parseBoolean(value, name);
}

function parsePermissions(value: ByteString, name: ByteString): 0 | 1 | 2 {
  if (value === '0') return 0;
  if (value === '1') return 1;
  if (value === '2') return 2;
  throw new OptionError(
    `${name}=${toText(value)} is none of 0, 1 (security.fuseoverlayfs.override_stat) and 2 (user.containers.override_stat)`,
  );
}

/** An option that we have one way of: other values are refused rather than ignored. */
function only(values: readonly string[], why: string): Apply {
  return (_draft, value, name) => {
    if (!values.includes(value)) throw new OptionError(`${name}=${toText(value)} is not supported: ${why}`);
  };
}

const accept: Apply = () => undefined;

const UNION: Readonly<Record<string, Apply>> = {
  lowerdir: (draft, value) => parseLowers(value, draft.layers),
  'lowerdir+': (draft, value, name) => parseLower(value, name, draft.layers),
  'datadir+': (draft, value, name) => parseDataOnly(value, name, draft.layers),
  upperdir: (draft, value, name) => void (draft.overlay.upper = parsePath(value, name)),
  workdir: (draft, value, name) => void (draft.overlay.work = parsePath(value, name)),
  timeout: (draft, value) => void (draft.overlay.timeout = parseTimeout(value)),
  ino32_t: (draft, value, name) => void (draft.overlay.ino32 = parseBoolean(value, name)),
  static_nlink: (draft, value, name) => void (draft.overlay.staticNlink = parseBoolean(value, name)),
  noacl: (draft, value, name) => void (draft.overlay.noAcl = parseBoolean(value, name)),
  noxattrs: (draft, value, name) => void (draft.overlay.noXattrs = parseBoolean(value, name)),
  volatile: (draft, value, name) => void (draft.volatileMark = parseBoolean(value, name)),
  fsync: parseFsync,
  squash_to_root: (draft, value, name) => void (draft.squashRoot = parseBoolean(value, name)),
  squash_to_uid: (draft, value, name) => void (draft.squashUid = parseNumber(value, name)),
  squash_to_gid: (draft, value, name) => void (draft.squashGid = parseNumber(value, name)),
  uidmapping: (draft, value, name) => void (draft.overlay.uidMapping = parseMapping(value, name)),
  gidmapping: (draft, value, name) => void (draft.overlay.gidMapping = parseMapping(value, name)),
  redirect_dir: (draft, value, name) => void (draft.overlay.redirectDir = oneOf(REDIRECT_DIR, value, name)),
  index: (draft, value, name) => void (draft.overlay.index = parseBoolean(value, name)),
  metacopy: (draft, value, name) => void (draft.overlay.metacopy = parseBoolean(value, name)),
  userxattr: (draft, value, name) => void (draft.overlay.userXattr = parseBoolean(value, name)),
  xattr_permissions: (draft, value, name) => void (draft.overlay.xattrPermissions = parsePermissions(value, name)),
  verity: (draft, value, name) => void (draft.overlay.verity = oneOf(VERITY, value, name)),
  uuid: (draft, value, name) => void (draft.overlay.uuid = oneOf(UUID, value, name)),
  xino: (_draft, value, name) => void oneOf(XINO, value, name),
  nfs_export: (draft, value, name) => void (draft.overlay.nfsExport = parseBoolean(value, name)),
  layer_index: (draft, value, name) => void (draft.overlay.layerIndex = oneOf(LAYER_INDEX, value, name)),
  nooverride_creds: only([], 'the layers are accessed with the rights of the daemon, not of the caller'),
};

// What the union does anyway, or what has no effect on what a user sees.
const ACCEPTED = [
  'override_creds',
  ...['threaded', 'writeback', 'fast_ino', 'context', 'fscontext', 'defcontext', 'rootcontext'],
  ...['default_permissions', 'kernel_cache', 'auto_cache', 'max_write', 'max_read', 'max_background'],
  ...['splice_read', 'splice_write', 'splice_move', 'no_splice_read', 'no_splice_write', 'no_splice_move'],
  ...['big_writes', 'subtype', 'nonempty', 'async', 'sync', 'dirsync', 'rw'],
  ...[
    'auto',
    'noauto',
    'user',
    'nouser',
    'users',
    'owner',
    'group',
    'defaults',
    '_netdev',
    'nofail',
    'shared',
    'rshared',
  ],
];

function parseBackend(value: ByteString): Backend {
  const backend = BACKENDS.find((name) => name === value);
  if (backend === undefined) throw new OptionError(`backend=${toText(value)} is not one of ${BACKENDS.join(', ')}`);
  return backend;
}

const setFuse =
  (change: (fuse: Mutable<FuseOptions>) => void): Apply =>
  (draft) =>
    change(draft.fuse);

/** The kernel leaves the atimes of a FUSE mount to us (S_NOATIME), whatever its mount flags show. */
const setAtime =
  (changes: boolean): Apply =>
  (draft) =>
    void (draft.fuse.atime = draft.overlay.atime = changes);

const setDirectoryAtime =
  (changes: boolean): Apply =>
  (draft) =>
    void (draft.fuse.diratime = draft.overlay.directoryAtime = changes);

const PASSTHROUGH = ['auto', 'on', 'upper', 'all', 'off'] as const;

const NO_OPEN = ['auto', 'on', 'off'] as const;

function parsePassthrough(draft: Draft, value: ByteString, name: ByteString): void {
  draft.fuse.passthrough = oneOf(PASSTHROUGH, value, name);
  if (value === 'upper') draft.overlay.passLowers = 'none';
  else if (value === 'all') draft.overlay.passLowers = 'all';
}

const FUSE: Readonly<Record<string, Apply>> = {
  passthrough: parsePassthrough,
  no_open: (draft, value, name) => void (draft.fuse.noOpen = oneOf(NO_OPEN, value, name)),
  backend: (draft, value) => void (draft.fuse.backend = parseBackend(value)),
  fsname: (draft, value, name) => void (draft.fuse.fsname = parsePath(value, name)),
  ro: setFuse((fuse) => (fuse.readOnly = true)),
  suid: setFuse((fuse) => (fuse.suid = true)),
  nosuid: setFuse((fuse) => (fuse.suid = false)),
  dev: setFuse((fuse) => (fuse.dev = true)),
  nodev: setFuse((fuse) => (fuse.dev = false)),
  exec: setFuse((fuse) => (fuse.exec = true)),
  noexec: setFuse((fuse) => (fuse.exec = false)),
  atime: setAtime(true),
  noatime: setAtime(false),
  // How often is for the upper's own mount to say.
  relatime: setAtime(true),
  norelatime: setAtime(true),
  strictatime: setAtime(true),
  diratime: setDirectoryAtime(true),
  nodiratime: setDirectoryAtime(false),
  allow_other: setFuse((fuse) => (fuse.allowOther = true)),
  // Where we may mount by ourselves we are root: nobody but the owner is the owner and root.
  allow_root: setFuse((fuse) => (fuse.allowOther = false)),
  private: setFuse((fuse) => (fuse.propagation = 'private')),
  rprivate: setFuse((fuse) => (fuse.propagation = 'rprivate')),
  slave: setFuse((fuse) => (fuse.propagation = 'slave')),
  rslave: setFuse((fuse) => (fuse.propagation = 'rslave')),
};

const OPTIONS: ReadonlyMap<string, Apply> = new Map([
  ...ACCEPTED.map((name) => [name, accept] as const),
  ...Object.entries(UNION),
  ...Object.entries(FUSE),
]);

function applyAll(strings: readonly ByteString[], draft: Draft): ByteString[] {
  const unknown: ByteString[] = [];
  for (const option of strings.flatMap((text) => splitUnescaped(text, ','))) {
    // podman leaves empty ones behind: a double comma, one at the end.
    if (option === '' || option.startsWith('x-')) continue;
    const equals = option.indexOf('=');
    const name = equals < 0 ? option : option.slice(0, equals);
    const apply = OPTIONS.get(name);
    if (apply === undefined) unknown.push(option);
    else apply(draft, equals < 0 ? '' : option.slice(equals + 1), name);
  }
  return unknown;
}

function checkComplete(overlay: OverlayOptions): void {
  if (overlay.lowers.length === 0) throw new OptionError('lowerdir is missing: -o lowerdir=DIR[:DIR...]');
  if (overlay.upper !== undefined && overlay.work === undefined) {
    throw new OptionError('upperdir needs workdir: an empty directory on the same filesystem (-o workdir=DIR)');
  }
}

function settleLayers({ overlay, layers }: Draft): void {
  overlay.lowers.push(...layers.lowers);
  if (layers.dataOnly.length > 0) overlay.dataOnly = layers.dataOnly;
}

function settleOwners(draft: Draft): void {
  const { overlay, squashUid, squashGid, squashRoot } = draft;
  const uid = squashUid ?? (squashRoot ? 0 : undefined);
  const gid = squashGid ?? (squashRoot ? 0 : undefined);
  if (uid !== undefined) overlay.squashUid = uid;
  if (gid !== undefined) overlay.squashGid = gid;
}

/**
 * Parses the `-o` strings of every caller of fuse-overlayfs and overlayfs.
 * @param volatileMark whether `volatile` leaves overlayfs's mark in the workdir, which refuses the next mount, or only
 * keeps fsync from the disk, as fuse-overlayfs has it.
 * @param isMounted false where the layers are to be looked at only, which needs neither lower ones nor a workdir.
 */
export function parseOptions(strings: readonly ByteString[], volatileMark: boolean, isMounted = true): ParsedOptions {
  const draft: Draft = {
    overlay: { lowers: [] },
    layers: { lowers: [], dataOnly: [], isWhole: false },
    fuse: {},
    squashUid: undefined,
    squashGid: undefined,
    squashRoot: false,
    volatileMark: false,
  };
  const unknown = applyAll(strings, draft);
  settleLayers(draft);
  checkConflicts(draft.overlay);
  if (isMounted) checkComplete(draft.overlay);
  settleOwners(draft);
  if (draft.volatileMark && volatileMark) draft.overlay.volatile = true;
  else if (draft.volatileMark) draft.overlay.noSync = true;
  const { overlay } = draft;
  if (draft.fuse.noOpen === 'on' && draft.fuse.passthrough === 'on')
    throw new OptionError('no_open=on and passthrough=on exclude each other: only an OPEN passes a file through');
  // A read-only mount changes no atime.
  if (draft.fuse.readOnly === true && overlay.atime === true) overlay.atime = false;
  // Without an upper nothing can change; overlayfs ignores a workdir then.
  if (overlay.upper === undefined) delete overlay.work;
  return { overlay, fuse: draft.fuse, unknown };
}

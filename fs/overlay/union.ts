import { type Notifier } from '../filesystem.ts';
import { Backings } from './backings.ts';
import { closeUnlinked } from './close-aside.ts';
import { CopyAhead } from './copy-ahead.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { EBADF } from '../sys/errno.ts';
import { close, fstat } from '../sys/file.ts';
import { openFilesLimit } from '../sys/resource-limits.ts';
import { hasAllIds } from '../sys/id-maps.ts';
import { SELF } from '../sys/xattr.ts';
import { DetachedMounts, type UpperRoots } from './detached-mounts.ts';
import { type Settle, SETTLE, settleOf } from './settle.ts';
import { DirectoryFds } from './directory-fds.ts';
import { HandleTable } from './handle.ts';
import { Owners } from './id-map.ts';
import { IndexCache } from './index-cache.ts';
import { takeIndex } from './indexed-layer.ts';
import { type Inode } from './inode.ts';
import { InodeTable } from './inode-table.ts';
import { Layer, assignFilesystemIds } from './layer.ts';
import { type LookAhead } from './look-ahead.ts';
import { COUNTERS, DEFAULT_TIMEOUT, type OverlayOptions } from './options.ts';
import { protectionIn } from './protection.ts';
import { ReadAhead } from './read-ahead.ts';
import { RealDirectory } from './real-directory.ts';
import { ResidentFiles } from './resident-file.ts';
import { type SharedListing } from './shared-listing.ts';
import { MAX_JOBS, type SlowLane } from './slow-lane.ts';
import { SlowReads } from './slow-reads.ts';
import { Slowness } from './slowness.ts';
import { giveUuid } from './upper-uuid.ts';
import { verifyRoots } from './verify-roots.ts';
import { Workdir, lockUpper } from './workdir.ts';
import { readUuids } from './file-handle.ts';
import { settleOverrides } from './override-set-up.ts';
import { refuseOverlap } from './overlap.ts';
import { readMarks } from './marks.ts';

/** Milliseconds of a disk that is slow, or has more to do than this, and copies that are then made by the slow lane. */
const LONG_SETTLING = 8;
const COPIES_ASIDE = 64;

const DEFAULT_CACHE_ENTRIES = 262_144;

/** Descriptors kept for directories and for files at most, and those that are there anyway beside the layers'. */
const DIRECTORY_FDS = 512;
const RESIDENT_FILES = 256;
const OTHER_FDS = 64;

/** Half of what the limit of open files leaves for directories and open files. */
function directoryFds({ lowers, dataOnly = [] }: OverlayOptions): number {
  const left = openFilesLimit() - lowers.length - dataOnly.length - OTHER_FDS;
  return Math.min(DIRECTORY_FDS, Math.floor(left / 2));
}

/** As many as directories, but more than the slow lane has jobs. */
function residentFiles(options: OverlayOptions): number {
  return Math.max(MAX_JOBS + 1, Math.min(RESIDENT_FILES, directoryFds(options)));
}

/** Offset of an invalidation that leaves the page cache alone, and so takes no lock that a request may hold. */
const ATTRIBUTES_ONLY = -1;

/** Whether root here is root: `trusted.*` xattrs are for the initial user namespace alone (user_namespaces(7)). */
function isInitialUserNamespace(): boolean {
  return process.geteuid?.() === 0 && hasAllIds();
}

function openUpperRoots(mounts: DetachedMounts, { upper, work, atime }: OverlayOptions): UpperRoots | undefined {
  return upper === undefined || work === undefined ? undefined : mounts.openUpper(upper, work, atime !== true);
}

/** The state that all operations of one mount share. It belongs to one thread. */
export class Union {
  readonly options: OverlayOptions;
  readonly upper: Layer | undefined;
  readonly lowers: readonly Layer[];
  /** Layers in which only the data of metacopies is looked for; see data-layers.ts. */
  readonly dataLayers: readonly Layer[];
  /** Any lower file may be a metacopy, which is asked for each. */
  readonly expectsMetacopies: boolean;
  readonly workdir: Workdir | undefined;
  /** Descriptor of the upper, locked, or -1. */
  #upperLock = -1;
  readonly owners: Owners;
  readonly counters: Float64Array;
  readonly fds: DirectoryFds;
  readonly indexes: IndexCache;
  readonly inodes: InodeTable;
  readonly handles = new HandleTable();
  readonly residents: ResidentFiles;
  readonly readAhead = new ReadAhead();
  /** Where other threads can read directories. */
  lookAhead: LookAhead | undefined = undefined;
  /** Directories with a listing for those who have not opened them, the oldest first; see shared-listing.ts. */
  readonly listings = new Map<Inode, SharedListing>();
  /** The directory in which a name was looked up last. */
  lookedInto: Inode | undefined = undefined;
  /** Whom files belong to that this process makes. */
  readonly ownUid = process.geteuid?.() ?? 0;
  readonly ownGid = process.getegid?.() ?? 0;
  /** Nobody changes the layers underneath; those who do set a timeout. */
  readonly isSoleWriter: boolean;
  /** Whether changes are to survive a power cut. */
  readonly sync: boolean;
  #settle: Settle | undefined = undefined;
  /** Whether directories are renamed by redirects, and redirects that are found are followed (`redirect_dir`). */
  readonly makesRedirects: boolean;
  readonly followsRedirects: boolean;
  /** `.wh.NAME` is how this union writes whiteouts, so that nobody else can have such a name. */
  readonly reservesDotNames: boolean;
  /** Our marks are in `trusted.overlay.*`; else, where that cannot be had, in `user.overlay.*`. */
  readonly keepsTrustedXattrs: boolean;
  readonly redirectXattr: ByteString;
  readonly originXattr: ByteString;
  readonly nlinkXattr: ByteString;
  readonly impureXattr: ByteString;
  readonly metacopyXattr: ByteString;
  readonly protattrXattr: ByteString;
  readonly upperXattr: ByteString;
  /** `workdir/index`, the upper files that lower ones of several names were copied up to. */
  readonly index: RealDirectory | undefined;
  /** Once the kernel is there. */
  notifier: Notifier | undefined = undefined;
  /** Whether the kernel takes contents that it has not asked for. */
  storesContent = false;
  /** Files that the kernel reads and writes by itself; see passthrough.ts. */
  readonly backings = new Backings();
  /** Where the session lets requests wait, what does the slow work. */
  slowLane: SlowLane | undefined = undefined;
  readonly slowReads = new SlowReads();
  /** Of the upper's disk, when a copy's data is waited for. */
  readonly slowness = new Slowness(LONG_SETTLING, COPIES_ASIDE);
  readonly copyAhead = new CopyAhead();
  /** Scratch for a single function's use between two of its own calls. */
  readonly scratch = new Attr();

  constructor(options: OverlayOptions) {
    refuseOverlap(options);
    this.options = options;
    this.fds = new DirectoryFds(directoryFds(options));
    this.residents = new ResidentFiles(residentFiles(options));
    this.inodes = new InodeTable(this.fds, this.backings, this.residents, options.nfsExport === true);
    this.inodes.closeUnlinked = (fd): void => closeUnlinked(this, fd);
    this.counters = options.counters ?? new Float64Array(COUNTERS);
    this.owners = new Owners(options);
    this.isSoleWriter = (options.timeout ?? DEFAULT_TIMEOUT) >= DEFAULT_TIMEOUT;
    this.sync = options.volatile !== true && options.noSync !== true;
    const redirectDir = options.redirectDir ?? 'on';
    this.makesRedirects = redirectDir === 'on';
    this.followsRedirects = redirectDir === 'on' || redirectDir === 'follow';
    this.indexes = new IndexCache(options.cacheEntries ?? DEFAULT_CACHE_ENTRIES, this.counters);
    const mounts = new DetachedMounts();
    const roots = openUpperRoots(mounts, options);
    this.upper =
      options.upper === undefined ? undefined : new Layer('upperdir', options.upper, true, this.scratch, roots?.upper);
    if (this.upper !== undefined) this.upper.keepsAccessTimes = options.atime === true;
    const openLower = (role: string, path: ByteString): Layer =>
      new Layer(role, path, false, this.scratch, mounts.open(path));
    this.lowers = options.lowers.map((path) => openLower('lowerdir', path));
    this.dataLayers = (options.dataOnly ?? []).map((path) => openLower('data-only lowerdir', path));
    [...this.lowers, ...this.dataLayers].forEach((layer, index) => (layer.index = index));
    this.expectsMetacopies = options.metacopy === true || this.dataLayers.length > 0;
    assignFilesystemIds(this.upper === undefined ? this.lowers : [this.upper, ...this.lowers]);
    for (const layer of this.layers) layer.narrow = options.ino32 === true;
    this.workdir = this.#openWorkdir(roots?.work);
    this.reservesDotNames = this.workdir !== undefined && !(this.workdir.makesDevices && options.dotWhiteouts !== true);
    const trusted = this.workdir?.keepsTrustedXattrs ?? isInitialUserNamespace();
    this.keepsTrustedXattrs = trusted && options.userXattr !== true;
    const prefix = this.keepsTrustedXattrs ? 'trusted.overlay.' : 'user.overlay.';
    this.redirectXattr = `${prefix}redirect`;
    this.originXattr = `${prefix}origin`;
    this.nlinkXattr = `${prefix}nlink`;
    this.impureXattr = `${prefix}impure`;
    this.metacopyXattr = `${prefix}metacopy`;
    this.protattrXattr = `${prefix}protattr`;
    this.upperXattr = `${prefix}upper`;
    this.index = this.#openIndex();
    readUuids(this.lowers, options.uuid === 'off');
    if (this.index !== undefined) verifyRoots(this, this.index);
    if (options.uuid === 'on' && this.upper !== undefined) giveUuid(this.upper, `${prefix}uuid`);
    settleOverrides(this, isInitialUserNamespace());
    if (options.layerIndex !== 'off' && this.isSoleWriter) {
      for (const layer of this.lowers) if (!mounts.hasMountsIn(layer.path)) takeIndex(layer);
    }
    this.#stackRoot();
  }

  /** The layers whose names show, topmost first. */
  get layers(): readonly Layer[] {
    return this.upper === undefined ? this.lowers : [this.upper, ...this.lowers];
  }

  /** How copies are made to last; found out when the first is made. */
  get settle(): Settle {
    this.#settle ??= this.sync && this.upper !== undefined ? settleOf(this.upper) : SETTLE.none;
    return this.#settle;
  }

  count(counter: number, by = 1): void {
    this.counters[counter] = (this.counters[counter] ?? 0) + by;
  }

  /** Descriptor by which a file is reached: of its directory, or of itself where `nameOf` answers SELF. */
  dirfdOf(inode: Inode): number {
    if (inode.pinned >= 0) return inode.pinned;
    const directory = inode.isDirectory ? inode.top : inode.real;
    return directory === undefined ? (inode.handles?.fd ?? -EBADF) : this.fds.fd(directory);
  }

  nameOf(inode: Inode): ByteString {
    return inode.pinned >= 0 || inode.isDirectory || inode.real === undefined ? SELF : inode.realName;
  }

  layerOf(inode: Inode): Layer | undefined {
    return inode.isDirectory ? inode.top?.layer : (inode.real?.layer ?? this.upper);
  }

  /** Has the kernel ask for a file's attributes again: they changed by more than what it asked for. */
  attributesChanged(inode: Inode): void {
    if (inode.nlookup > 0) this.notifier?.invalidateInode(inode.id, ATTRIBUTES_ONLY, 0);
    for (const former of inode.formers ?? []) this.notifier?.invalidateInode(former.id, ATTRIBUTES_ONLY, 0);
  }

  /** Lets go of what is held only because it may be asked for again. */
  rest(): void {
    this.residents.clear();
    if (this.workdir !== undefined) this.copyAhead.drop(this, this.workdir);
  }

  close(): void {
    this.slowLane?.end();
    this.slowReads.close();
    this.rest();
    this.fds.clear();
    for (const layer of [...this.layers, ...this.dataLayers]) layer.close();
    if (this.index !== undefined) close(this.index.fd);
    this.workdir?.close();
    if (this.#upperLock >= 0) close(this.#upperLock);
  }

  #openWorkdir(opened: number | undefined): Workdir | undefined {
    const { work } = this.options;
    if (this.upper === undefined) return undefined;
    if (work === undefined) throw new Error('cannot mount: upperdir needs a workdir on the same filesystem');
    const workdir = new Workdir(work, this.upper.dev, this.scratch, opened);
    try {
      this.#upperLock = lockUpper(this.upper);
    } catch (error) {
      workdir.close();
      throw error;
    }
    if (this.options.volatile === true) workdir.markVolatile();
    return workdir;
  }

  #openIndex(): RealDirectory | undefined {
    if (this.upper === undefined || this.workdir === undefined || this.options.index === false) return undefined;
    const index = new RealDirectory(this.upper, undefined, 'index');
    index.fd = this.workdir.openIndex();
    return index;
  }

  #stackRoot(): void {
    const { root } = this.inodes;
    root.upper = this.upper?.root;
    const stack = this.layers.map((layer) => layer.root);
    for (const directory of stack) readMarks(this, directory);
    const end = stack.findIndex((directory) => directory.opaque);
    const visible: RealDirectory[] = end < 0 ? stack : stack.slice(0, end + 1);
    root.lowers = visible.filter((directory) => !directory.layer.writable);
    root.nlookup = 1;
    const [shown] = stack;
    if (shown !== undefined && fstat(shown.fd, this.scratch) === 0) root.protection |= protectionIn(this.scratch);
    const top = root.lowers[0] ?? root.upper;
    if (top !== undefined) root.ino = top.layer.uniqueIno(this.#inoOf(top));
  }

  #inoOf(directory: RealDirectory): number {
    fstat(directory.fd, this.scratch);
    return this.scratch.ino;
  }
}

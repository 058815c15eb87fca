import { type ByteString } from '../sys/bytes.ts';

/** Seconds for which the kernel keeps what it was told, "for ever": what fuse-overlayfs has as its default, too. */
export const DEFAULT_TIMEOUT = 1e9;

/** What a union is made of. Paths are absolute or relative to the working directory at the time of `createOverlay`. */
export interface OverlayOptions {
  /** Read-only layers, the topmost first; at least one. */
  readonly lowers: readonly ByteString[];
  /** Layers below `lowers` that hold nothing but data for their metacopies, found by an absolute redirect. */
  readonly dataOnly?: readonly ByteString[];
  /** Takes every change; without it the union is read-only. */
  readonly upper?: ByteString;
  /** An empty directory on the upper's filesystem; required with `upper`. */
  readonly work?: ByteString;
  /** Lifetime of entries and attributes in the kernel, seconds. Default 1e9. */
  readonly timeout?: number;
  /** Inode numbers fit 32 bits (fuse-overlayfs's `ino32_t`). */
  readonly ino32?: boolean;
  /** Directories have a link count of 1. */
  readonly staticNlink?: boolean;
  /** Reading changes the atime of a file in the upper, as often as the upper's own mount has it. Default false. */
  readonly atime?: boolean;
  /** Where `atime` is set, false leaves those of directories. */
  readonly directoryAtime?: boolean;
  /** No POSIX ACLs. */
  readonly noAcl?: boolean;
  /** No extended attributes for users of the mount. */
  readonly noXattrs?: boolean;
  /** No fsync reaches the disk; the next mount of the workdir is refused until the marker is gone. */
  readonly volatile?: boolean;
  /** fsync answers without reaching the disk, with no marker (fuse-overlayfs's `fsync=0`, and its `volatile`). */
  readonly noSync?: boolean;
  /** Owner that stat gives for every file. */
  readonly squashUid?: number;
  readonly squashGid?: number;
  /** Ids on disk (`host`) to ids in the mount (`to`), as fuse-overlayfs's uidmapping and gidmapping. */
  readonly uidMapping?: readonly IdRange[];
  readonly gidMapping?: readonly IdRange[];
  /**
   * Owners, modes and types are kept in an xattr of the files, not in the files themselves (fuse-overlayfs's option of
   * that name): 1, `security.fuseoverlayfs.override_stat`; 2, `user.containers.override_stat`. 0 ignores such xattrs;
   * where it is not given, layers whose root has one are read by them, as long as not everyone could have written it.
   */
  readonly xattrPermissions?: 0 | 1 | 2;
  /** overlayfs's `redirect_dir`: rename directories by redirects (`on`, the default), or only follow them, or neither. */
  readonly redirectDir?: 'on' | 'follow' | 'nofollow' | 'off';
  /** overlayfs's `index`: hard links of lower files hold over copy-up and remount. Default true. */
  readonly index?: boolean;
  /** overlayfs's `metacopy`: a change of metadata alone copies no data. Default false, as other readers need to know. */
  readonly metacopy?: boolean;
  /** overlayfs's `verity`: the data of a metacopy must have the fs-verity digest that it names. Default `off`. */
  readonly verity?: 'off' | 'on' | 'require';
  /** overlayfs's `uuid`: whether origins name the filesystems of the layers, and the upper gets a UUID of its own. */
  readonly uuid?: 'null' | 'off' | 'on' | 'auto';
  /** overlayfs's `nfs_export`: a file handle leads to its file for as long as the union is mounted. */
  readonly nfsExport?: boolean;
  /** overlayfs's `userxattr`: marks are in `user.overlay.*` even where `trusted.overlay.*` could be had. */
  readonly userXattr?: boolean;
  /** Write whiteouts as `.wh.NAME` files even where device nodes could be made. */
  readonly dotWhiteouts?: boolean;
  /**
   * Which files of lower layers the kernel may read by itself though a write may move them to the upper: who has one open
   * then does not see the write. Default `programs`.
   */
  readonly passLowers?: 'none' | 'programs' | 'all';
  /** Indexes that lie beside lower layers (`writeLayerIndex`) are used (`auto`, the default) or not. */
  readonly layerIndex?: 'auto' | 'off';
  /** Weight limit of the lookup cache: directory entries remembered. Default 262,144. */
  readonly cacheEntries?: number;
  /** Counters shared with the main thread; see `COUNTER`. */
  readonly counters?: Float64Array;
}

export interface IdRange {
  readonly host: number;
  readonly to: number;
  readonly length: number;
}

/** Indices into `OverlayOptions.counters`. */
export const COUNTER = {
  cacheHits: 0,
  cacheMisses: 1,
  cacheEvictions: 2,
  cacheSize: 3,
  inodes: 4,
  openHandles: 5,
  copyUps: 6,
  copyUpBytes: 7,
  whiteouts: 8,
  passthroughOpens: 9,
  filesReadAhead: 10,
  contentsGiven: 11,
  directoriesReadAhead: 12,
  /** By another thread. */
  filesCopiedAhead: 13,
} as const;

export const COUNTERS = 16;

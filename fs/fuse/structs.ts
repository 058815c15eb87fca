// The structures of the FUSE protocol (linux/fuse.h up to 7.45), from which every offset in this folder comes. Field
// names are the header's. A test compiles the header and compares.

type Scalar = 'u16' | 'u32' | 'i32' | 'u64' | 'i64';
type Field = Scalar | Struct<object> | readonly [element: Field, count: number];
type Fields = Readonly<Record<string, Field>>;

/** Offset of each field, and the size of the whole. */
export type Struct<Names> = { readonly [Name in keyof Names]: number } & {
  readonly sizeof: number;
  readonly alignof: number;
};

const SCALAR_SIZE: Readonly<Record<Scalar, number>> = { u16: 2, u32: 4, i32: 4, u64: 8, i64: 8 };

function sizeOf(field: Field): number {
  if (typeof field === 'string') return SCALAR_SIZE[field];
  return isArray(field) ? sizeOf(field[0]) * field[1] : field.sizeof;
}

function alignmentOf(field: Field): number {
  if (typeof field === 'string') return SCALAR_SIZE[field];
  return isArray(field) ? alignmentOf(field[0]) : field.alignof;
}

function isArray(field: Exclude<Field, Scalar>): field is readonly [Field, number] {
  return Array.isArray(field);
}

const roundUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** Lays fields out as C does on the 64-bit platforms. */
function struct<const F extends Fields>(fields: F): Struct<F> {
  const offsets: Record<string, number> = {};
  let end = 0;
  let alignof = 1;
  for (const [name, field] of Object.entries(fields)) {
    const alignment = alignmentOf(field);
    const offset = roundUp(end, alignment);
    offsets[name] = offset;
    end = offset + sizeOf(field);
    alignof = Math.max(alignof, alignment);
  }
  return { ...offsets, sizeof: roundUp(end, alignof), alignof } as Struct<F>;
}

const fuse_attr = struct({
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  atime: 'u64',
  mtime: 'u64',
  ctime: 'u64',
  atimensec: 'u32',
  mtimensec: 'u32',
  ctimensec: 'u32',
  mode: 'u32',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  rdev: 'u32',
  blksize: 'u32',
  flags: 'u32',
});

const fuse_kstatfs = struct({
  blocks: 'u64',
  bfree: 'u64',
  bavail: 'u64',
  files: 'u64',
  ffree: 'u64',
  bsize: 'u32',
  namelen: 'u32',
  frsize: 'u32',
  padding: 'u32',
  spare: ['u32', 6],
});

const fuse_sx_time = struct({ tv_sec: 'i64', tv_nsec: 'u32', __reserved: 'i32' });

const fuse_statx = struct({
  mask: 'u32',
  blksize: 'u32',
  attributes: 'u64',
  nlink: 'u32',
  uid: 'u32',
  gid: 'u32',
  mode: 'u16',
  __spare0: ['u16', 1],
  ino: 'u64',
  size: 'u64',
  blocks: 'u64',
  attributes_mask: 'u64',
  atime: fuse_sx_time,
  btime: fuse_sx_time,
  ctime: fuse_sx_time,
  mtime: fuse_sx_time,
  rdev_major: 'u32',
  rdev_minor: 'u32',
  dev_major: 'u32',
  dev_minor: 'u32',
  __spare2: ['u64', 14],
});

const fuse_entry_out = struct({
  nodeid: 'u64',
  generation: 'u64',
  entry_valid: 'u64',
  attr_valid: 'u64',
  entry_valid_nsec: 'u32',
  attr_valid_nsec: 'u32',
  attr: fuse_attr,
});

/** The name follows; the next entry is aligned to 8 bytes. */
const fuse_dirent = struct({ ino: 'u64', off: 'u64', namelen: 'u32', type: 'u32' });

/** Every structure that this program reads or writes. */
export const ABI = {
  fuse_in_header: struct({
    len: 'u32',
    opcode: 'u32',
    unique: 'u64',
    nodeid: 'u64',
    uid: 'u32',
    gid: 'u32',
    pid: 'u32',
    total_extlen: 'u16',
    padding: 'u16',
  }),
  fuse_out_header: struct({ len: 'u32', error: 'i32', unique: 'u64' }),
  fuse_attr,
  fuse_kstatfs,
  fuse_sx_time,
  fuse_statx,
  fuse_entry_out,
  fuse_dirent,
  fuse_direntplus: struct({ entry_out: fuse_entry_out, dirent: fuse_dirent }),
  fuse_init_in: struct({
    major: 'u32',
    minor: 'u32',
    max_readahead: 'u32',
    flags: 'u32',
    flags2: 'u32',
    unused: ['u32', 11],
  }),
  // 7.40 and 7.43 gave names to words that the 7.38 header calls unused.
  fuse_init_out: struct({
    major: 'u32',
    minor: 'u32',
    max_readahead: 'u32',
    flags: 'u32',
    max_background: 'u16',
    congestion_threshold: 'u16',
    max_write: 'u32',
    time_gran: 'u32',
    max_pages: 'u16',
    map_alignment: 'u16',
    flags2: 'u32',
    max_stack_depth: 'u32',
    request_timeout: 'u16',
    unused: ['u16', 11],
  }),
  fuse_forget_in: struct({ nlookup: 'u64' }),
  fuse_forget_one: struct({ nodeid: 'u64', nlookup: 'u64' }),
  fuse_batch_forget_in: struct({ count: 'u32', dummy: 'u32' }),
  fuse_getattr_in: struct({ getattr_flags: 'u32', dummy: 'u32', fh: 'u64' }),
  fuse_attr_out: struct({ attr_valid: 'u64', attr_valid_nsec: 'u32', dummy: 'u32', attr: fuse_attr }),
  fuse_statx_in: struct({ getattr_flags: 'u32', reserved: 'u32', fh: 'u64', sx_flags: 'u32', sx_mask: 'u32' }),
  fuse_statx_out: struct({
    attr_valid: 'u64',
    attr_valid_nsec: 'u32',
    flags: 'u32',
    spare: ['u64', 2],
    stat: fuse_statx,
  }),
  fuse_setattr_in: struct({
    valid: 'u32',
    padding: 'u32',
    fh: 'u64',
    size: 'u64',
    lock_owner: 'u64',
    atime: 'u64',
    mtime: 'u64',
    ctime: 'u64',
    atimensec: 'u32',
    mtimensec: 'u32',
    ctimensec: 'u32',
    mode: 'u32',
    unused4: 'u32',
    uid: 'u32',
    gid: 'u32',
    unused5: 'u32',
  }),
  fuse_mknod_in: struct({ mode: 'u32', rdev: 'u32', umask: 'u32', padding: 'u32' }),
  fuse_mkdir_in: struct({ mode: 'u32', umask: 'u32' }),
  fuse_rename_in: struct({ newdir: 'u64' }),
  fuse_rename2_in: struct({ newdir: 'u64', flags: 'u32', padding: 'u32' }),
  fuse_link_in: struct({ oldnodeid: 'u64' }),
  fuse_open_in: struct({ flags: 'u32', open_flags: 'u32' }),
  /** Until 7.40, `backing_id` was padding. */
  fuse_open_out: struct({ fh: 'u64', open_flags: 'u32', backing_id: 'i32' }),
  fuse_create_in: struct({ flags: 'u32', mode: 'u32', umask: 'u32', open_flags: 'u32' }),
  fuse_release_in: struct({ fh: 'u64', flags: 'u32', release_flags: 'u32', lock_owner: 'u64' }),
  fuse_read_in: struct({
    fh: 'u64',
    offset: 'u64',
    size: 'u32',
    read_flags: 'u32',
    lock_owner: 'u64',
    flags: 'u32',
    padding: 'u32',
  }),
  fuse_write_in: struct({
    fh: 'u64',
    offset: 'u64',
    size: 'u32',
    write_flags: 'u32',
    lock_owner: 'u64',
    flags: 'u32',
    padding: 'u32',
  }),
  fuse_write_out: struct({ size: 'u32', padding: 'u32' }),
  fuse_statfs_out: struct({ st: fuse_kstatfs }),
  fuse_fsync_in: struct({ fh: 'u64', fsync_flags: 'u32', padding: 'u32' }),
  fuse_setxattr_in: struct({ size: 'u32', flags: 'u32', setxattr_flags: 'u32', padding: 'u32' }),
  fuse_getxattr_in: struct({ size: 'u32', padding: 'u32' }),
  fuse_getxattr_out: struct({ size: 'u32', padding: 'u32' }),
  fuse_ioctl_in: struct({ fh: 'u64', flags: 'u32', cmd: 'u32', arg: 'u64', in_size: 'u32', out_size: 'u32' }),
  fuse_ioctl_out: struct({ result: 'i32', flags: 'u32', in_iovs: 'u32', out_iovs: 'u32' }),
  fuse_fallocate_in: struct({ fh: 'u64', offset: 'u64', length: 'u64', mode: 'u32', padding: 'u32' }),
  fuse_lseek_in: struct({ fh: 'u64', offset: 'u64', whence: 'u32', padding: 'u32' }),
  fuse_lseek_out: struct({ offset: 'u64' }),
  fuse_copy_file_range_in: struct({
    fh_in: 'u64',
    off_in: 'u64',
    nodeid_out: 'u64',
    fh_out: 'u64',
    off_out: 'u64',
    len: 'u64',
    flags: 'u64',
  }),
  fuse_copy_file_range_out: struct({ bytes_copied: 'u64' }),
  fuse_syncfs_in: struct({ padding: 'u64' }),
  /** Not of a message, but of an ioctl on the device. */
  fuse_backing_map: struct({ fd: 'i32', flags: 'u32', padding: 'u64' }),
  fuse_notify_inval_inode_out: struct({ ino: 'u64', off: 'i64', len: 'i64' }),
  fuse_notify_inval_entry_out: struct({ parent: 'u64', namelen: 'u32', flags: 'u32' }),
  fuse_notify_store_out: struct({ nodeid: 'u64', offset: 'u64', size: 'u32', padding: 'u32' }),
} as const;

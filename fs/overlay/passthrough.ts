import { type Opened, type Passthrough } from '../filesystem.ts';
import { O_ACCMODE, O_APPEND, O_DIRECT, O_DSYNC, O_NONBLOCK, O_RDONLY, O_RDWR } from '../sys/constants.ts';
import { ELOOP, EPERM } from '../sys/errno.ts';
import { STATFS, close, fstatfs, pread } from '../sys/file.ts';
import { hasWriters } from '../sys/lease.ts';
import { Memory } from '../sys/memory.ts';
import { toText } from '../sys/text.ts';
import { WAY, type Way } from './handle.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { openData } from './metacopy.ts';
import { COUNTER } from './options.ts';
import { type Union } from './union.ts';

// FUSE passthrough: the kernel reads, writes and maps the layer's file itself, at its speed and out of its page cache,
// which all mounts of the layer share.
//
// While a file is open, the kernel has it either so or through the page cache of the union's own inode, and so only one
// layer's file for all who have it open (fs/fuse/iomode.c; a mistake is EIO). The first open decides. When data that is
// open so moves from a lower layer to the upper, the file gets another node number: who had it open goes on with the
// lower file, and whoever opens it from then on has the upper's.
//
// So a reader of a lower file may miss what is written to it while it has it open, where overlayfs opens the upper's
// (ovl_real_file; mappings stay with the lower one there, too). Logs and data are therefore left to the page cache.
// Programs and libraries are not: they are what containers have in common, and nobody who has one open waits for what
// is written into it.

const ST_NOATIME = 0x400;
const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

const stated = new Memory(STATFS.sizeof);

const ELF = Buffer.from('\x7fELF', 'latin1');
const magic = new Memory(ELF.length);

/** Lets the kernel have a file that is about to be opened as `fd`, where it may; fills `opened` accordingly. */
export function passThrough(union: Union, inode: Inode, fd: number, flags: number, opened: Opened): Way {
  if (inode.caching === 0 && inode.backing === 0) inode.backing = registered(union, inode, fd);
  if (inode.backing === 0) {
    if (inode.passedThrough) opened.keepCache = false;
    inode.passedThrough = false;
    return WAY.caching;
  }
  if (layerOfData(union, inode)?.writable === false) union.backings.remember(inode);
  inode.passedThrough = true;
  opened.backing = inode.backing;
  opened.keepCache = false;
  opened.directIo = needsRequests(union, flags);
  if ((flags & O_ACCMODE) === O_RDWR) expectChanges(union, inode);
  union.count(COUNTER.passthroughOpens);
  return WAY.passing;
}

/** Whether to open it for writing would move data that the kernel has open. */
export function mustRenumber(inode: Inode): boolean {
  return inode.passing > 0 && (!inode.isUpper || inode.metacopy);
}

/** After the data moved to the upper. */
export function dataMoved(union: Union, inode: Inode): void {
  if (inode.passing > 0) union.inodes.renumber(inode);
  union.backings.end(inode);
}

function registered(union: Union, inode: Inode, fd: number): number {
  const { passthrough } = union.backings;
  const layer = layerOfData(union, inode);
  if (passthrough === undefined || layer === undefined || layer.refusesPassthrough) return 0;
  if (!layer.writable && union.upper !== undefined && !mayMove(union, inode, fd)) return 0;
  const backing = passthrough.register(fd);
  if (backing === -EPERM) union.backings.passthrough = undefined;
  if (backing === -ELOOP) layer.refusesPassthrough = true;
  return Math.max(0, backing);
}

function layerOfData(union: Union, inode: Inode): Layer | undefined {
  return inode.metacopy ? inode.data?.layer : (inode.real?.layer ?? union.upper);
}

/** Whether a file of a lower layer is passed through though its data may move to the upper. */
function mayMove(union: Union, inode: Inode, fd: number): boolean {
  const { passLowers = 'programs' } = union.options;
  if (passLowers !== 'programs') return passLowers === 'all';
  inode.isProgram ??= pread(fd, magic.address, ELF.length, 0) === ELF.length && magic.bytes.subarray(0, 4).equals(ELF);
  return inode.isProgram;
}

/**
 * Whether reads and writes are to come to us all the same: fcntl(2) can take O_APPEND and O_DIRECT away again, which the
 * kernel's own file does not hear of, and a write with O_DSYNC would reach the disk where nothing is to.
 */
function needsRequests(union: Union, flags: number): boolean {
  return (flags & (O_APPEND | O_DIRECT)) !== 0 || (!union.sync && (flags & O_DSYNC) !== 0);
}

/** Stores through a mapping, which may outlive the open file, change times that the kernel would go on showing. */
function expectChanges(union: Union, inode: Inode): void {
  if (inode.changesUnseen) return;
  inode.changesUnseen = true;
  union.attributesChanged(inode);
}

/**
 * Once nobody has the file open for writing, of which a mapping is one that closing the file leaves, what the kernel is
 * told of it lasts again. To be called before its attributes are read.
 */
export function expectNoChanges(union: Union, inode: Inode): void {
  if (!union.backings.tellsWriters || inode.passing > 0 || inode.caching > 0) return;
  const fd = openData(union, inode, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return;
  const writers = hasWriters(fd);
  close(fd);
  if (writers === false) inode.changesUnseen = false;
  if (writers === undefined) union.backings.tellsWriters = false;
}

/** Leaves layers to the page cache whose atimes the kernel's own reads would change. */
export function beginPassthrough(union: Union, passthrough: Passthrough): void {
  union.backings.passthrough = passthrough;
  for (const layer of [...union.layers, ...union.dataLayers]) layer.refusesPassthrough = obstacleOf(layer) !== '';
}

/** Why not all layers can be passed through, or empty. */
export function passthroughObstacle(union: Union): string {
  if (!union.isSoleWriter) return 'timeout= says that the layers change underneath';
  for (const layer of [...union.layers, ...union.dataLayers]) {
    const obstacle = obstacleOf(layer);
    if (obstacle !== '') return `${toText(layer.path)} ${obstacle}`;
  }
  return '';
}

function obstacleOf(layer: Layer): string {
  if (fstatfs(layer.root.fd, stated) < 0) return 'does not tell what it is on';
  if (stated.view.getUint32(STATFS.type, true) === OVERLAYFS_SUPER_MAGIC)
    return 'is on overlayfs, which is stacked itself';
  const isQuiet = (stated.view.getUint32(STATFS.flags, true) & ST_NOATIME) !== 0;
  return isQuiet || layer.keepsAccessTimes ? '' : 'has other mounts inside, and so cannot be mounted noatime for us';
}

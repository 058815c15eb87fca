import { type Opened, type Passthrough } from '../filesystem.ts';
import { O_ACCMODE, O_APPEND, O_DIRECT, O_DSYNC, O_RDWR } from '../sys/constants.ts';
import { ELOOP, EPERM } from '../sys/errno.ts';
import { fstatfs } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { toText } from '../sys/text.ts';
import { type Inode } from './inode.ts';
import { type Layer } from './layer.ts';
import { COUNTER } from './options.ts';
import { type Union } from './union.ts';

// FUSE passthrough: the kernel reads, writes and maps the layer's file itself, at its speed and out of its page cache,
// which all mounts of the layer share.
//
// While a file is open, the kernel has it either so or through the page cache of the union's own inode, and so only one
// layer's file for all who have it open (fs/fuse/iomode.c; a mistake is EIO). The first open decides. A file whose data
// may move, from a lower layer to the upper, while it is open is left to the page cache: an open file goes on with what is
// written to it after copy-up.

// The C library's `struct statfs`: f_type, f_flags.
const TYPE = 0;
const FLAGS = 80;
const ST_NOATIME = 0x400;
const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

const stated = new Memory(120);

/** Lets the kernel have a file that is about to be opened as `fd`, where it may; fills `opened` accordingly. */
export function passThrough(union: Union, inode: Inode, fd: number, flags: number, opened: Opened): void {
  if (inode.handles === undefined) inode.backing = registered(union, inode, fd);
  if (inode.backing === 0) {
    if (inode.passedThrough) opened.keepCache = false;
    inode.passedThrough = false;
    return;
  }
  inode.passedThrough = true;
  opened.backing = inode.backing;
  opened.keepCache = false;
  opened.directIo = needsRequests(union, flags);
  if ((flags & O_ACCMODE) === O_RDWR) expectChanges(union, inode);
  union.count(COUNTER.passthroughOpens);
}

/** After a file was closed: the last one to do so ends it. */
export function endPassthrough(union: Union, inode: Inode): void {
  if (inode.backing === 0 || inode.handles !== undefined) return;
  union.passthrough?.unregister(inode.backing);
  inode.backing = 0;
}

function registered(union: Union, inode: Inode, fd: number): number {
  const { passthrough } = union;
  const layer = layerOfData(union, inode);
  if (passthrough === undefined || layer === undefined || layer.refusesPassthrough) return 0;
  const backing = passthrough.register(fd);
  if (backing === -EPERM) union.passthrough = undefined;
  if (backing === -ELOOP) layer.refusesPassthrough = true;
  return Math.max(0, backing);
}

/** The layer that has a file's data for as long as it is open, or undefined. */
function layerOfData(union: Union, inode: Inode): Layer | undefined {
  if (union.upper === undefined) return inode.data?.layer ?? inode.real?.layer;
  return inode.isUpper && !inode.metacopy ? union.upper : undefined;
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

/** Leaves layers to the page cache whose atimes the kernel's own reads would change. */
export function beginPassthrough(union: Union, passthrough: Passthrough): void {
  union.passthrough = passthrough;
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
  if (stated.view.getUint32(TYPE, true) === OVERLAYFS_SUPER_MAGIC) return 'is on overlayfs, which is stacked itself';
  const isQuiet = (stated.view.getUint32(FLAGS, true) & ST_NOATIME) !== 0;
  return isQuiet || layer.keepsAccessTimes ? '' : 'has other mounts inside, and so cannot be mounted noatime for us';
}

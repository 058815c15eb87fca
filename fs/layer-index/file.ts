import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { AT_FDCWD, O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG } from '../sys/constants.ts';
import { close, fstat, openat, pread } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { LayerIndex } from './layer-index.ts';
import { INDEX_SUFFIX } from './suffix.ts';

const GROUP_OR_OTHERS_WRITE = 0o022;
/** An index of more is none that we made: 16 million files. */
const LARGEST = 2 ** 32;

const attr = new Attr();
const root = new Attr();

let ids: number | undefined;

function readIds(): number {
  const maps = ['uid_map', 'gid_map'].map((map) => readFileSync(`/proc/self/${map}`, 'latin1'));
  return crc32(maps.join('\n'));
}

/** Stands for the id maps of our user namespace, in which owners are told: a process has but one. */
export function idsOf(): number {
  return (ids ??= readIds());
}

/** Where the index of a layer is. */
export function indexPath(layer: ByteString): ByteString {
  return layer.replace(/\/+$/, '') + INDEX_SUFFIX;
}

/**
 * The index of a layer, or why what is there cannot be believed; undefined where there is none.
 *
 * @param directory the layer's root, open.
 */
export function readLayerIndex(layer: ByteString, directory: number): LayerIndex | string | undefined {
  const fd = openat(AT_FDCWD, indexPath(layer), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return undefined;
  const memory = readFrom(fd);
  close(fd);
  if (typeof memory === 'string') return memory;
  return fstat(directory, root) < 0 ? 'cannot be compared with the layer' : LayerIndex.parse(memory, root, idsOf());
}

function readFrom(fd: number): Memory | string {
  if (fstat(fd, attr) < 0) return 'cannot be read';
  if ((attr.mode & S_IFMT) !== S_IFREG || attr.size > LARGEST) return 'is no index of a layer';
  // It tells who owns a file and what is set-uid: no more may be able to write it than could make such files themselves.
  const isOurs = attr.uid === 0 || attr.uid === process.geteuid?.();
  if (!isOurs || (attr.mode & GROUP_OR_OTHERS_WRITE) !== 0) return 'can be written by others';
  const memory = new Memory(attr.size);
  for (let at = 0; at < memory.size;) {
    const length = pread(fd, memory.address + at, memory.size - at, at);
    if (length <= 0) return 'cannot be read';
    at += length;
  }
  return memory;
}

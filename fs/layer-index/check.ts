import { STATX } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { readLayerIndex } from './file.ts';
import { gatherIndex, withLayer } from './gather.ts';
import { HEADER, RECORD } from './layer-index.ts';

/** Reading a file changes its atime, and writing it to disk, on some filesystems, its blocks. */
const VOLATILE = [
  [STATX.atimeSec, STATX.atimeNsec + 4],
  [STATX.blocks, STATX.blocks + 8],
] as const;

/**
 * What is wrong with the index of a layer; undefined where nothing is, or there is none. Throws `SystemError` where the
 * layer cannot be read.
 *
 * @param deep also reads the layer, of which the index may say what is no longer so.
 */
export function problemOfIndex(layer: ByteString, deep: boolean): string | undefined {
  return withLayer(layer, (root) => {
    const index = readLayerIndex(layer, root);
    if (index === undefined || typeof index === 'string') return index;
    if (!deep) return undefined;
    const isCurrent = lasting(index.bytes, index.count).equals(lasting(gatherIndex(root), index.count));
    return isCurrent ? undefined : 'says of its files what is not so';
  });
}

/** An index without what may change while its layer stays as it is. */
function lasting(content: Buffer, count: number): Buffer {
  const copy = Buffer.from(content.subarray(HEADER.sizeof));
  const records = copy.subarray(0, count * RECORD.sizeof);
  for (let at = 0; at < records.length; at += RECORD.sizeof) {
    for (const [from, to] of VOLATILE) records.fill(0, at + from, at + to);
  }
  return copy;
}

import { type ByteSource, decompress } from './compression.ts';
import { type Limits, overLimit } from './limits.ts';

/**
 * The uncompressed bytes of a source, as long as they stay in proportion to the compressed ones.
 *
 * @param most the limit for all of them.
 * @param size of the source; without it, as of a pipe, what has been read of it so far counts.
 */
export async function* decompressInProportion(
  source: ByteSource,
  limits: Limits,
  most: 'archive-size' | 'layer-size',
  size?: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const packed = { bytes: size ?? 0 };
  const highest = most === 'layer-size' ? limits.layerBytes : limits.archiveBytes;
  let bytes = 0;
  for await (const chunk of decompress(size === undefined ? counted(source, packed) : source)) {
    bytes += chunk.length;
    // What follows the end of an archive counts as well.
    if (bytes > highest) throw overLimit('its uncompressed size', limits, most);
    if (bytes > Math.max(limits.ratioFreeBytes, packed.bytes * limits.ratio)) {
      throw overLimit(`its unpacked size in proportion to its ${packed.bytes} bytes`, limits, 'ratio');
    }
    yield chunk;
  }
}

async function* counted(source: ByteSource, packed: { bytes: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    packed.bytes += chunk.length;
    yield chunk;
  }
}

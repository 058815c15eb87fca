import { type ByteString } from '../sys/bytes.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';

/** A path from the layer's root; without `name`, that of the directory. */
export function pathTo(directory: RealDirectory, name: ByteString = ''): ByteString {
  const names = name === '' ? [] : [name];
  for (let at = directory; at.parent !== undefined; at = at.parent) names.push(at.name);
  return `/${names.reverse().join('/')}`;
}

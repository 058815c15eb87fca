import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { isOpaque } from '../../fs/layer-format.ts';
import { entryIn, namesIn } from '../container/layer-view.ts';

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/**
 * What lies in a layer, its marks named: `srv/cache/ (opaque)`, `srv/poem (whiteout)`.
 *
 * @param limit how many to name; the rest is counted.
 */
export function describeRawTree(layer: ByteString, limit: number): string[] {
  const all: string[] = [];
  const root = check(openat(-1, layer, OPEN), `open layer ${toText(layer)}`);
  collect(root, '', all);
  return all.length <= limit ? all : [...all.slice(0, limit), `and ${all.length - limit} more`];
}

/** Names what is in an open directory, and closes it. */
function collect(directory: number, path: ByteString, all: string[]): void {
  for (const name of [...namesIn(directory)].sort()) {
    const child = `${path}${name}`;
    const entry = entryIn(directory, name);
    if (entry === 'directory') {
      const fd = check(openat(directory, name, OPEN), `open ${toText(child)} in a layer`);
      const before = all.length;
      const opaque = isOpaque(fd);
      collect(fd, `${child}/`, all);
      // A directory that only leads to others tells nothing.
      if (opaque) all.splice(before, 0, `${toText(child)}/ (opaque)`);
      else if (all.length === before) all.push(`${toText(child)}/`);
    } else {
      all.push(entry === 'whiteout' ? `${toText(child)} (whiteout)` : toText(child));
    }
  }
  close(directory);
}

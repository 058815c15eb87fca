import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { isOpaque } from '../../fs/layer-format.ts';
import { DirectoryStack, entryIn, namesIn } from './layer-view.ts';

/** One line of `lamina diff`: added, changed or deleted, in docker's letters. */
export interface Change {
  readonly kind: 'A' | 'C' | 'D';
  /** Absolute path in the container. */
  readonly path: ByteString;
}

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/**
 * What a container changed: its upper held against the layers below, in the order of paths. Directories on the way to
 * a change count as changed, as they do in docker.
 *
 * @param lowers absolute paths, the topmost first.
 */
export function diffLayers(upper: ByteString, lowers: readonly ByteString[]): Change[] {
  const changes: Change[] = [];
  const directory = check(openat(-1, upper, OPEN), `open ${toText(upper)}`);
  compare(directory, DirectoryStack.open(lowers), '', isOpaque(directory), changes);
  return changes;
}

/**
 * Compares a directory of the upper with that of the lowers; closes both.
 *
 * @param below undefined where the lowers have no directory of that name.
 * @param hidden the upper's directory, or one above it, hides those below: what it lacks is deleted.
 */
function compare(
  upper: number,
  below: DirectoryStack | undefined,
  path: ByteString,
  hidden: boolean,
  changes: Change[],
): void {
  const own = namesIn(upper);
  const lost = hidden && below !== undefined ? below.names().filter((name) => !own.has(name)) : [];
  const gone = new Set(lost);
  for (const name of [...own, ...lost].sort()) {
    const child = `${path}/${name}`;
    if (gone.has(name)) changes.push({ kind: 'D', path: child });
    else compareEntry(upper, below, name, child, hidden, changes);
  }
  below?.close();
  close(upper);
}

function compareEntry(
  upper: number,
  below: DirectoryStack | undefined,
  name: ByteString,
  path: ByteString,
  hidden: boolean,
  changes: Change[],
): void {
  const entry = entryIn(upper, name);
  const lower = below?.find(name) ?? { kind: 'absent' };
  const stack = lower.kind === 'directory' ? lower.stack : undefined;
  const wasThere = lower.kind !== 'absent';
  if (entry === 'whiteout' || entry === 'absent') {
    // A whiteout that hides nothing is what is left of a file that the container itself made.
    if (wasThere) changes.push({ kind: 'D', path });
  } else {
    changes.push({ kind: wasThere ? 'C' : 'A', path });
  }
  if (entry !== 'directory') {
    stack?.close();
    return;
  }
  const directory = check(openat(upper, name, OPEN), `open ${toText(path)} in the container's upper`);
  compare(directory, stack, path, hidden || isOpaque(directory), changes);
}

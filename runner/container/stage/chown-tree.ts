import { Attr } from '../../../fs/sys/attr.ts';
import { S_IFDIR, S_IFMT } from '../../../fs/sys/constants.ts';
import { readDirectory } from '../../../fs/sys/directory.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, fstat, statat } from '../../../fs/sys/file.ts';
import { chownPath, chownat } from '../../../fs/sys/metadata.ts';
import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import { openDirectory } from '../../image/directory-walker.ts';

const attr = new Attr();

/**
 * Gives a file, or a directory with all in it, to a user; follows no symlink. What is the user's already is left as it
 * is: a change of owner clears set-id bits.
 *
 * @param fd may be O_PATH.
 * @param shown for messages.
 */
export function chownTree(fd: number, uid: number, gid: number, shown: string): void {
  check(fstat(fd, attr), `look at ${shown}`);
  const isDirectory = (attr.mode & S_IFMT) === S_IFDIR;
  if (attr.uid !== uid || attr.gid !== gid) check(chownPath(fd, uid, gid), `give ${shown} to ${uid}:${gid}`);
  if (!isDirectory) return;
  const directory = check(openDirectory(fd, '.'), `open ${shown}`);
  try {
    for (const name of namesOf(directory)) chownEntry(directory, name, uid, gid, `${shown}/${toText(name)}`);
  } finally {
    close(directory);
  }
}

function chownEntry(directory: number, name: ByteString, uid: number, gid: number, shown: string): void {
  const child = openDirectory(directory, name);
  if (child >= 0) {
    chownTree(child, uid, gid, shown);
    close(child);
    return;
  }
  check(statat(directory, name, attr), `look at ${shown}`);
  if (attr.uid !== uid || attr.gid !== gid) check(chownat(directory, name, uid, gid), `give ${shown} to ${uid}:${gid}`);
}

// All names first: readDirectory's buffer is one a thread.
function namesOf(directory: number): ByteString[] {
  const names: ByteString[] = [];
  check(
    readDirectory(directory, (name) => names.push(name)),
    'read a directory',
  );
  return names;
}

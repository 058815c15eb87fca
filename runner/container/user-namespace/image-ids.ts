import { type ByteString } from '../../../fs/sys/bytes.ts';
import { close } from '../../../fs/sys/file.ts';
import { parseGroups, parsePasswd, readTable } from '../stage/account.ts';
import { Inside } from '../stage/inside.ts';

// Debian's nobody, as of most: nothing is that user's.
const NOBODY = 65534;

/**
 * The highest id that the users and groups of an image have, but for nobody.
 *
 * @param layers the topmost first.
 */
export function highestIdOf(layers: readonly ByteString[]): number {
  const users = parsePasswd(topmost(layers, '/etc/passwd')).flatMap(({ uid, gid }) => [uid, gid]);
  const groups = parseGroups(topmost(layers, '/etc/group')).map(({ gid }) => gid);
  return [...users, ...groups].reduce((highest, id) => (id < NOBODY && id > highest ? id : highest), 0);
}

/** Text of a table in the topmost layer that has it. */
function topmost(layers: readonly ByteString[], path: string): string {
  for (const layer of layers) {
    const inside = Inside.open(layer);
    try {
      const text = readTable(inside, path);
      if (text !== '') return text;
    } finally {
      close(inside.fd);
    }
  }
  return '';
}

import { type ByteString } from '../../fs/sys/bytes.ts';
import { close } from '../../fs/sys/file.ts';
import { openDirectory } from '../image/directory-walker.ts';

/** The directory that a path below `root` is in, through no symlink, the caller's to close; a negative errno as `fd`. */
export function openParent(root: number, path: ByteString): { readonly fd: number; readonly name: ByteString } {
  const names = path.split('/');
  const name = names.pop() ?? '';
  let fd = openDirectory(root, '.');
  for (const component of names) {
    if (fd < 0) break;
    const next = openDirectory(fd, component);
    close(fd);
    fd = next;
  }
  return { fd, name };
}

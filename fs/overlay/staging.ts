import { Attr } from '../sys/attr.ts';
import { AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, S_ISGID } from '../sys/constants.ts';
import { close, fstat, mkdirat, openat, unlinkat } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { chmodPath, chownPath } from '../sys/metadata.ts';
import { SELF, getxattr, setxattr } from '../sys/xattr.ts';
import { type Union } from './union.ts';
import { type Workdir } from './workdir.ts';

const DEFAULT_ACL = 'system.posix_acl_default';

const acl = new Memory(65536);
const parentAttr = new Attr();

/** A directory aside in which a file comes into being as it would in its real parent. */
interface Staging {
  /** Or a negative errno. */
  readonly fd: number;
  close(): void;
}

/**
 * The workdir itself, or, where the parent passes on a group or a default ACL, a directory in it that passes on the
 * same.
 *
 * @param parentFd descriptor of the parent in the upper.
 */
export function makeStaging(union: Union, workdir: Workdir, parentFd: number): Staging {
  const stated = fstat(parentFd, parentAttr);
  const length = union.options.noAcl === true ? 0 : getxattr(parentFd, SELF, DEFAULT_ACL, acl.address, acl.size);
  const setgid = stated === 0 && (parentAttr.mode & S_ISGID) !== 0;
  if (length <= 0 && !setgid) return { fd: workdir.fd, close: () => undefined };
  return makeStagingDirectory(workdir, length, setgid);
}

function makeStagingDirectory(workdir: Workdir, aclLength: number, setgid: boolean): Staging {
  const name = workdir.temporaryName();
  const made = mkdirat(workdir.fd, name, 0o700);
  const fd = made < 0 ? made : openat(workdir.fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const remove = (): void => {
    if (fd >= 0) close(fd);
    unlinkat(workdir.fd, name, AT_REMOVEDIR);
  };
  if (fd < 0) return { fd, close: remove };
  let inherited = 0;
  if (setgid) inherited = chownPath(fd, 0xffffffff, parentAttr.gid) || chmodPath(fd, 0o2700);
  if (inherited === 0 && aclLength > 0) inherited = setxattr(fd, SELF, DEFAULT_ACL, acl.address, aclLength, 0);
  if (inherited === 0) return { fd, close: remove };
  remove();
  return { fd: inherited, close: () => undefined };
}

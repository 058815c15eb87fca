import { copyTimes } from '../overlay/copy-metadata.ts';
import { type DirectoryFds } from '../overlay/directory-fds.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { AT_REMOVEDIR, S_IFCHR } from '../sys/constants.ts';
import { EEXIST, ENODATA, ENOENT, SystemError } from '../sys/errno.ts';
import { fstat, mknodat, renameat2, unlinkat } from '../sys/file.ts';
import { removeTree } from '../sys/remove-tree.ts';
import { removexattr, setxattrText } from '../sys/xattr.ts';
import { type Place, type Repair } from './problem.ts';

// Each repair is one system call that changes a layer, or several of which every state in between shows what the last
// one does: killed at any moment, a run leaves an upper that is no worse, and the next run goes on.

/** A name in `workdir/work` that unions take for one of theirs. */
const TEMPORARY = '#f5c';

const before = new Attr();

/** The repairs of one layer. */
export class Repairs {
  readonly #fds: DirectoryFds;

  constructor(fds: DirectoryFds) {
    this.#fds = fds;
  }

  removeXattr({ directory, name }: Place, xattr: ByteString): Repair {
    const act = (): number => forgiving(removexattr(this.#fds.fd(directory), name, xattr), ENODATA);
    return { text: `remove ${xattr}`, act };
  }

  setXattr({ directory, name }: Place, xattr: ByteString, value: ByteString): Repair {
    const act = (): number => setxattrText(this.#fds.fd(directory), name, xattr, value);
    return { text: `set ${xattr} to "${value}"`, act };
  }

  /** Removes what is no directory; the times of the directory that it is in stay. */
  removeFile({ directory, name }: Place): Repair {
    return { text: 'remove it', act: () => this.#keepTimes(directory, (dirfd) => unlinkat(dirfd, name)) };
  }

  removeDirectory({ directory, name }: Place): Repair {
    return { text: 'remove it', act: () => unlinkat(this.#fds.fd(directory), name, AT_REMOVEDIR) };
  }

  /**
   * Puts a whiteout in the place of a file, in one step.
   *
   * @param workdir where it is made beforehand; the next mount removes what is left there.
   * @param otherwise where the filesystem has no device nodes for us.
   */
  whiteOut({ directory, name }: Place, workdir: number, otherwise: Repair): Repair {
    const act = (): number => {
      const made = mknodat(workdir, TEMPORARY, S_IFCHR, 0);
      if (made < 0 && made !== -EEXIST) return otherwise.act();
      return this.#keepTimes(directory, (dirfd) => renameat2(workdir, TEMPORARY, dirfd, name));
    };
    return { text: 'put a whiteout in its place', act };
  }

  /** Does one thing after another, and stops where one fails. */
  inOrder(...repairs: readonly Repair[]): Repair {
    const act = (): number => {
      for (const repair of repairs) {
        const done = repair.act();
        if (done < 0) return done;
      }
      return 0;
    };
    return { text: repairs.map(({ text }) => text).join(', then '), act };
  }

  #keepTimes(directory: Place['directory'], change: (dirfd: number) => number): number {
    const dirfd = this.#fds.fd(directory);
    const stated = fstat(dirfd, before);
    if (stated < 0) return stated;
    const changed = forgiving(change(dirfd), ENOENT);
    copyTimes(before, dirfd, '');
    return changed;
  }
}

/** Removes what nobody sees, with all that is in it. */
export function removeAll(dirfd: () => number, name: ByteString): Repair {
  const act = (): number => {
    try {
      removeTree(dirfd(), name);
      return 0;
    } catch (error) {
      if (error instanceof SystemError) return -error.errno;
      throw error;
    }
  };
  return { text: 'remove it', act };
}

/** What a repair is to bring about is so already. */
function forgiving(done: number, errno: number): number {
  return done === -errno ? 0 : done;
}

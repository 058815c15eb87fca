import { Attr } from '../../../fs/sys/attr.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_WRONLY,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFCHR,
  S_IFMT,
} from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, dup3, fstat, openat, openat2 } from '../../../fs/sys/file.ts';
import { fchown } from '../../../fs/sys/metadata.ts';
import { sendDescriptor } from '../../../fs/sys/socket.ts';
import {
  type TerminalSize,
  becomeControllingTerminal,
  openPtySlave,
  setTerminalSize,
  unlockPty,
} from '../../../fs/sys/terminal.ts';
import { TERMINAL_FD } from '../spec.ts';
import { untilSettled } from './inside.ts';
import { DEVPTS_SUPER_MAGIC, bind, filesystemMagic } from './mounting.ts';

// Linux's Documentation/admin-guide/devices.txt.
const PTMX = { major: 5, minor: 2 };
const FIRST_SLAVE_MAJOR = 136;
const LAST_SLAVE_MAJOR = 143;
const UNCHANGED = 0xffffffff;
const STANDARD = [0, 1, 2];

const attr = new Attr();

/**
 * A pty of the container's own devpts. The stage keeps its slave until it has become the command; the master goes to
 * who started the stage, over the socket TERMINAL_FD.
 */
export class StageTerminal {
  readonly #slave: number;

  private constructor(slave: number) {
    this.#slave = slave;
  }

  /**
   * @param root descriptor of the container's root, whose processes may be running.
   * @param size undefined for that of a new terminal, 0 by 0.
   */
  static open(root: number, size: TerminalSize | undefined): StageTerminal {
    const master = openMaster(root);
    check(unlockPty(master), "unlock the container's terminal");
    const slave = check(openPtySlave(master), "open the container's terminal");
    checkDevice(slave, 'the slave of a pty', isSlave);
    if (size !== undefined) check(setTerminalSize(slave, size), "set the size of the container's terminal");
    check(sendDescriptor(TERMINAL_FD, master), "hand the container's terminal out");
    close(master);
    close(TERMINAL_FD);
    return new StageTerminal(slave);
  }

  /**
   * Makes it the container's /dev/console.
   *
   * @param dev the container's new /dev, which nobody else can change yet.
   */
  bindConsole(dev: number): void {
    close(
      check(openat(dev, 'console', O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600), 'make /dev/console'),
    );
    const target = check(openat(dev, 'console', O_PATH | O_NOFOLLOW | O_CLOEXEC), 'open /dev/console');
    // By the descriptor that has been checked: the path of a slave could be anything by now (CVE-2025-52565).
    bind(this.#slave, target, false, "the container's terminal on /dev/console");
    close(target);
  }

  /** Makes it the standard files and the controlling terminal of this process, and its user's. */
  take(uid: number): void {
    check(fchown(this.#slave, uid, UNCHANGED), "give the container's terminal to its user");
    check(becomeControllingTerminal(this.#slave), "make the container's terminal the controlling one");
    for (const fd of STANDARD) check(dup3(this.#slave, fd, 0), `make descriptor ${fd} the container's terminal`);
    close(this.#slave);
  }
}

function openMaster(root: number): number {
  const resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const flags = O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC;
  const opened = untilSettled(() => openat2(root, 'dev/pts/ptmx', flags, 0, resolve));
  const master = check(opened, 'open /dev/pts/ptmx of the container, which makes its terminal');
  checkDevice(master, '/dev/pts/ptmx', (major, minor) => major === PTMX.major && minor === PTMX.minor);
  return master;
}

function isSlave(major: number): boolean {
  return major >= FIRST_SLAVE_MAJOR && major <= LAST_SLAVE_MAJOR;
}

function checkDevice(fd: number, name: string, isRight: (major: number, minor: number) => boolean): void {
  check(fstat(fd, attr), `stat ${name} of the container`);
  const isDevice = (attr.mode & S_IFMT) === S_IFCHR && isRight(attr.rdevMajor, attr.rdevMinor);
  if (isDevice && filesystemMagic(fd) === DEVPTS_SUPER_MAGIC) return;
  throw new Error(`${name} of the container is not that of a devpts: something has been put in its place`);
}

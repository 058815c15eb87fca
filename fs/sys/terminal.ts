import { O_CLOEXEC, O_NOCTTY, O_RDWR } from './constants.ts';
import { ioctl } from './file.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeTcgetattr = bind('int tcgetattr(int fd, uintptr_t termios)');
const nativeTcsetattr = bind('int tcsetattr(int fd, int actions, uintptr_t termios)');
const nativeCfmakeraw = bind('void cfmakeraw(uintptr_t termios)');
const nativeSetsid = bind('int setsid()');
const nativeSigprocmask = bind('int sigprocmask(int how, uintptr_t set, uintptr_t old)');

// asm-generic/ioctls.h; linux/tty.h
const TIOCSCTTY = 0x540e;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;

/** A terminal's size in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

// `struct winsize`: rows, columns, then pixels, 16 bits each.
const winsize = new Memory(8);

/** The size that a terminal says it has; a negative errno where it is none. */
export function terminalSize(fd: number): TerminalSize | number {
  const asked = ioctl(fd, TIOCGWINSZ, winsize.address);
  if (asked < 0) return asked;
  return { rows: winsize.view.getUint16(0, true), columns: winsize.view.getUint16(2, true) };
}

/** Sets the size: the foreground process group gets SIGWINCH where it is another than before. */
export function setTerminalSize(fd: number, { rows, columns }: TerminalSize): number {
  winsize.bytes.fill(0);
  winsize.view.setUint16(0, rows, true);
  winsize.view.setUint16(2, columns, true);
  return ioctl(fd, TIOCSWINSZ, winsize.address);
}

const number = new Memory(4);

/** Lets the slave of a master that has just been opened be opened too. */
export function unlockPty(master: number): number {
  number.view.setInt32(0, 0, true);
  return ioctl(master, TIOCSPTLCK, number.address);
}

/** Opens the slave of a master, whatever lies at its path (TIOCGPTPEER, Linux 4.13); close-on-exec. */
export function openPtySlave(master: number): number {
  return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/** Has this process lead a new session; EPERM where it leads a process group. */
export function leadSession(): number {
  return result(nativeSetsid());
}

/** Makes a terminal the controlling one of this process, which must lead a session that has none. */
export function becomeControllingTerminal(fd: number): number {
  return ioctl(fd, TIOCSCTTY, 0);
}

// glibc's and musl's `struct termios`, which ends with the two speeds.
const TERMIOS_SIZE = 60;
const TCSANOW = 0;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const SIGTTOU = 22;
const blocked = new Memory(128);
const before = new Memory(128);
blocked.view.setUint32(0, 1 << (SIGTTOU - 1), true);

/** All that a terminal's line discipline is set to, termios(3). */
export class TerminalSettings {
  readonly #termios = new Memory(TERMIOS_SIZE);

  /** The settings of a terminal now; a negative errno where it is none. */
  static of(fd: number): TerminalSettings | number {
    const settings = new TerminalSettings();
    const asked = result(nativeTcgetattr(fd, settings.#termios.address));
    return asked < 0 ? asked : settings;
  }

  /** The same, with every byte passed on as it comes: cfmakeraw(3). */
  toRaw(): TerminalSettings {
    const raw = new TerminalSettings();
    this.#termios.bytes.copy(raw.#termios.bytes);
    nativeCfmakeraw(raw.#termios.address);
    return raw;
  }

  /** Applies them at once, also for a process in the background, which SIGTTOU would stop. */
  apply(fd: number): number {
    nativeSigprocmask(SIG_BLOCK, blocked.address, before.address);
    const applied = result(nativeTcsetattr(fd, TCSANOW, this.#termios.address));
    nativeSigprocmask(SIG_SETMASK, before.address, 0);
    return applied;
  }
}

import { dirname } from 'node:path';
import { become, cstring, Failure, libcCalls as libc } from './libc.ts';
import { type Place } from './protocol.ts';
import { type Who } from './step.ts';

/** A file that stays open from one step to another. */
interface Held {
  readonly fd: number;
  readonly flags: number;
}

/** A mapping that stays, also when its file is closed: `fd` is another. */
interface Mapping {
  readonly address: bigint;
  readonly length: number;
  readonly fd: number;
}

const IDS: Readonly<Record<Who, readonly [uid: number, gid: number, groups: readonly number[]]>> = {
  root: [0, 0, []],
  user: [1000, 1000, []],
  other: [1001, 1001, [1000, 7]],
};
const UMASK = 0o022;

let acting: Who = 'root';

/** Takes a user's rights. */
export function actAs(who: Who): void {
  if (acting !== who) become(...IDS[who]);
  acting = who;
}

/** Does something with root's rights, whoever acts. */
export function asRoot<Answer>(action: () => Answer): Answer {
  const before = acting;
  actAs('root');
  try {
    return action();
  } finally {
    actAs(before);
  }
}

/** Where steps act: one directory of a union or of a layer, and what is open in it. */
export class World {
  /** Of the directory. */
  readonly base: string;
  /** The directory's own name: absolute redirects begin with it. */
  readonly site: string;
  readonly #place: Place;
  readonly held = new Map<number, Held>();
  readonly mappings = new Map<number, Mapping>();
  mask = UMASK;

  constructor(place: Place, site: string) {
    this.#place = place;
    this.base = `${place.root}/${site}`;
    this.site = site;
  }

  /** `trusted.overlay.` or `user.overlay.`. */
  get marks(): string {
    return this.#place.marks;
  }

  get isReference(): boolean {
    return this.#place.isReference;
  }

  /** The path of `a/b` in here, and of `@3/a` in the directory that slot 3 holds; as a C string. */
  at(path: string): Buffer {
    if (path === '') return cstring(this.base);
    if (!path.startsWith('@')) return cstring(`${this.base}/${path}`);
    return cstring(`/proc/self/fd/${this.holding(Number(path.charAt(1))).fd}${path.slice(2)}`);
  }

  /** Where the upper has what the union has at an absolute path. */
  inUpper(path: string): string | undefined {
    const { root } = this.#place;
    return path.startsWith(`${root}/`) ? `${dirname(root)}/upper${path.slice(root.length)}` : undefined;
  }

  holding(slot: number): Held {
    const held = this.held.get(slot);
    if (held === undefined) throw new Remark('not held');
    return held;
  }

  /** Opens for one step. */
  using<Answer>(path: string, flags: number, action: (fd: number) => Answer): Answer {
    const fd = libc.open(this.at(path), flags | O_NONBLOCK | O_CLOEXEC, 0o644);
    try {
      return action(fd);
    } finally {
      libc.close(fd);
    }
  }

  /** Lets go of all that is open, so that the union can be unmounted. */
  release(): void {
    for (const { fd } of this.held.values()) libc.close(fd);
    for (const slot of this.mappings.keys()) this.unmap(slot);
    this.held.clear();
  }

  mapping(slot: number): Mapping {
    const known = this.mappings.get(slot);
    if (known === undefined) throw new Remark('not held');
    return known;
  }

  unmap(slot: number): void {
    const { address, length, fd } = this.mapping(slot);
    this.mappings.delete(slot);
    libc.munmap(address, length);
    libc.close(fd);
  }
}

// A fifo has nobody at its other end.
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

/** What is to be answered in an errno's place. */
export class Remark extends Error {}

/** What a call gives: bytes, something to be told, or nothing. */
export type Answer = Buffer | string | number | undefined;

/** What an action answers, as text: its errno where it fails. */
export function outcomeOf(action: () => Answer): string {
  try {
    const answer = action();
    if (Buffer.isBuffer(answer)) return `data ${summary(answer)}`;
    return answer === undefined ? 'ok' : `ok ${answer}`;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    if (error instanceof Remark) return error.message;
    throw error;
  }
}

/** Bytes in few words that differ where the bytes do: runs of one byte as `x*5000`. */
export function summary(bytes: Buffer): string {
  const runs: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at];
    let end = at + 1;
    while (end < bytes.length && bytes[end] === byte) end += 1;
    const letter = byte === undefined || byte === 0 ? '0' : JSON.stringify(String.fromCharCode(byte)).slice(1, -1);
    runs.push(end - at > 1 ? `${letter}*${end - at}` : letter);
    at = end;
  }
  return `${bytes.length}: ${runs.join(' ')}`;
}

import { type Path, type System } from './system.ts';

const IN_NONBLOCK = 0o4000;
const IN_ALL_EVENTS = 0xfff;
const HEADER = 16;
const ROOM = 65_536;

/** Bits of `struct inotify_event`'s mask by name (linux/inotify.h). */
const EVENTS: readonly (readonly [bit: number, name: string])[] = [
  [0x1, 'access'],
  [0x2, 'modify'],
  [0x4, 'attrib'],
  [0x8, 'close write'],
  [0x10, 'close nowrite'],
  [0x20, 'open'],
  [0x40, 'moved from'],
  [0x80, 'moved to'],
  [0x100, 'create'],
  [0x200, 'delete'],
  [0x400, 'delete self'],
  [0x800, 'move self'],
  [0x2000, 'unmount'],
  [0x8000, 'ignored'],
];

/** Watches files for events of all kinds. */
export class Watch {
  readonly #system: System;
  readonly #fd: number;

  private constructor(system: System, fd: number) {
    this.#system = system;
    this.#fd = fd;
  }

  static async on(system: System, ...paths: readonly Path[]): Promise<Watch> {
    const fd = Number((await system.agent.check('int inotify_init1(int flags)', [IN_NONBLOCK])).value);
    const prototype = 'int inotify_add_watch(int fd, const void *path, uint32_t mask)';
    for (const path of paths)
      await system.agent.check(prototype, [fd, Buffer.from(`${path}\0`, 'latin1'), IN_ALL_EVENTS]);
    return new Watch(system, fd);
  }

  /** What has happened since, as `event` or `event name`, in order. */
  async events(): Promise<string[]> {
    const prototype = 'int64_t read(int fd, void *buffer, size_t count)';
    const reply = await this.#system.agent.call(prototype, [this.#fd, Buffer.alloc(ROOM), ROOM], [1]);
    // -1 and EAGAIN: nothing.
    return parse(Buffer.from(reply.out[0] ?? []).subarray(0, Math.max(0, Number(reply.value))));
  }

  async close(): Promise<void> {
    await this.#system.close(this.#fd);
  }
}

function parse(raw: Buffer): string[] {
  const events: string[] = [];
  for (let at = 0; at < raw.length; at += HEADER + raw.readUInt32LE(at + 12)) {
    const mask = raw.readUInt32LE(at + 4);
    const length = raw.readUInt32LE(at + 12);
    const name = raw.toString('latin1', at + HEADER, at + HEADER + length).split('\0', 1)[0] ?? '';
    for (const [bit, event] of EVENTS) if ((mask & bit) !== 0) events.push(name === '' ? event : `${event} ${name}`);
  }
  return events;
}

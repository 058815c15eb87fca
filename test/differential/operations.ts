import fc from 'fast-check';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';

/** One system call, or a few that belong together, on paths relative to a directory. */
export interface Operation {
  readonly call: string;
  readonly run: (world: World) => Promise<unknown>;
}

/** Where operations act: a directory of a union, with files that stay open from one operation to another. */
export interface World {
  readonly system: System;
  readonly at: (path: string) => string;
  readonly held: Map<number, number>;
}

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_TMPFILE = 0o20000000 | (process.arch === 'arm64' ? 0o40000 : 0o200000);
const SYMLINK_FOLLOW = 0x400;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 0x10;
// A fifo has nobody at its other end.
const O_NONBLOCK = 0o4000;
const SLOTS = 8;

// Few names, so that operations meet; files of the layers beneath are among them.
const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const path = fc
  .oneof(
    { weight: 3, arbitrary: fc.array(name, { minLength: 1, maxLength: 1 }) },
    fc.array(name, { minLength: 2, maxLength: 3 }),
  )
  .map((parts) => parts.join('/'));
// Names that are mostly files, so that their content is worked on.
const filePath = fc.oneof(path, fc.constantFrom('f', 'g', 'a/f', 'c/g', 'a/b/c', 'a/b/d', 'b'));
const content = fc.constantFrom('', 'x', 'some content', 'y'.repeat(5_000));
const size = fc.constantFrom(0, 1, 7, 4_096, 10_000);
const mode = fc.constantFrom(0o600, 0o644, 0o755, 0o4755, 0o1777, 0o2775);
const time = fc.constantFrom(-5n, 1_000_000_000_123_456_789n, 5_000_000_000_000_000_007n);
const slot = fc.integer({ min: 0, max: SLOTS - 1 });
const xattr = fc.constantFrom('user.one', 'user.two');

function operation(call: string, run: (world: World) => Promise<unknown>): Operation {
  return { call, run };
}

function holding(world: World, index: number, action: (fd: number) => Promise<unknown>): Promise<unknown> {
  const fd = world.held.get(index);
  return fd === undefined ? Promise.resolve('not held') : action(fd);
}

async function described(world: World, target: string): Promise<string> {
  const status = await world.system.stat(world.at(target));
  const isDirectory = (status.mode & 0o170000) === 0o040000;
  // Of a directory, neither the size nor the count of links is promised.
  const counted = isDirectory ? '' : ` links ${status.nlink} size ${status.size}`;
  return `${status.mode.toString(8)} ${status.uid}:${status.gid}${counted}`;
}

const making = [
  fc
    .tuple(filePath, content, fc.constantFrom(O_CREAT, O_CREAT | O_EXCL, O_CREAT | O_TRUNC, O_TRUNC, O_APPEND), mode)
    .map(([target, text, flags, bits]) =>
      operation(`put ${target} ${text.length} ${flags.toString(8)}`, ({ system, at }) =>
        system.put(at(target), text, O_WRONLY | O_NONBLOCK | flags, bits),
      ),
    ),
  fc
    .tuple(path, mode)
    .map(([target, bits]) => operation(`mkdir ${target}`, ({ system, at }) => system.mkdir(at(target), bits))),
  fc
    .tuple(fc.constantFrom('a', 'b/c', '../a', 'nowhere'), path)
    .map(([to, target]) => operation(`symlink ${to} ${target}`, ({ system, at }) => system.symlink(to, at(target)))),
  fc
    .tuple(filePath, filePath)
    .map(([from, to]) => operation(`link ${from} ${to}`, ({ system, at }) => system.link(at(from), at(to)))),
  fc.tuple(path, filePath, content, mode).map(([directory, target, text, bits]) =>
    operation(`tmpfile ${directory} ${target} ${bits.toString(8)}`, async ({ system, at }) => {
      const fd = await system.open(at(directory), O_TMPFILE | O_RDWR, bits);
      const filled = system.write(fd, text).then(() => system.link(`/proc/self/fd/${fd}`, at(target), SYMLINK_FOLLOW));
      await filled.finally(() => system.close(fd));
    }),
  ),
  fc
    .tuple(slot, filePath)
    .map(([index, target]) =>
      operation(`held ${index} link ${target}`, (world) =>
        holding(world, index, (fd) => world.system.link(`/proc/self/fd/${fd}`, world.at(target), SYMLINK_FOLLOW)),
      ),
    ),
  path.map((target) => operation(`mkfifo ${target}`, ({ system, at }) => system.mknod(at(target), 0o010644))),
];

const removing = [
  path.map((target) => operation(`unlink ${target}`, ({ system, at }) => system.unlink(at(target)))),
  path.map((target) => operation(`rmdir ${target}`, ({ system, at }) => system.rmdir(at(target)))),
  fc
    .tuple(filePath, filePath, fc.constantFrom(0, 0, 0, 1, 2))
    .map(([from, to, flags]) =>
      operation(`rename ${from} ${to} ${flags}`, ({ system, at }) => system.rename(at(from), at(to), flags)),
    ),
];

const changing = [
  fc.tuple(filePath, size, content).map(([target, offset, text]) =>
    operation(`write ${target} ${text.length}@${offset}`, async ({ system, at }) => {
      const fd = await system.open(at(target), O_WRONLY | O_NONBLOCK);
      await system.pwrite(fd, text, offset).finally(() => system.close(fd));
    }),
  ),
  fc.tuple(filePath, fc.constantFrom(0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, ZERO_RANGE), size).map(([target, how, at]) =>
    operation(`fallocate ${target} ${how} ${at}`, async (world) => {
      const fd = await world.system.open(world.at(target), O_RDWR | O_NONBLOCK);
      await world.system.fallocate(fd, how, at, 3_000).finally(() => world.system.close(fd));
    }),
  ),
  fc.tuple(filePath, filePath, size).map(([source, target, length]) =>
    operation(`copy ${source} ${target} ${length}`, async ({ system, at }) => {
      const from = await system.open(at(source), O_RDONLY | O_NONBLOCK);
      const to = await system.open(at(target), O_WRONLY | O_NONBLOCK).catch(async (error: unknown) => {
        await system.close(from);
        throw error;
      });
      return system.copyFileRange(from, to, length).finally(() => Promise.all([system.close(from), system.close(to)]));
    }),
  ),
  fc
    .tuple(filePath, size)
    .map(([target, length]) =>
      operation(`truncate ${target} ${length}`, ({ system, at }) => system.truncate(at(target), length)),
    ),
  fc
    .tuple(path, mode)
    .map(([target, bits]) =>
      operation(`chmod ${target} ${bits.toString(8)}`, ({ system, at }) => system.chmod(at(target), bits)),
    ),
  fc
    .tuple(path, fc.constantFrom(0, 7, 1000))
    .map(([target, id]) => operation(`chown ${target} ${id}`, ({ system, at }) => system.chown(at(target), id, id))),
  fc.tuple(path, time).map(([target, when]) =>
    operation(`utimens ${target} ${when}`, async ({ system, at }) => {
      await system.utimens(at(target), when, when);
      return (await system.stat(at(target))).mtime;
    }),
  ),
  fc
    .tuple(path, xattr, content)
    .map(([target, key, text]) =>
      operation(`setxattr ${target} ${key}`, ({ system, at }) => system.setxattr(at(target), key, text.slice(0, 100))),
    ),
  fc
    .tuple(path, xattr)
    .map(([target, key]) =>
      operation(`removexattr ${target} ${key}`, ({ system, at }) => system.removexattr(at(target), key)),
    ),
];

const looking = [
  path.map((target) => operation(`names ${target}`, ({ system, at }) => system.names(at(target)))),
  path.map((target) => operation(`stat ${target}`, (world) => described(world, target))),
  filePath.map((target) =>
    operation(`read ${target}`, async ({ system, at }) => {
      const fd = await system.open(at(target), O_RDONLY | O_NONBLOCK);
      return system.pread(fd, 20_000, 0).finally(() => system.close(fd));
    }),
  ),
  path.map((target) => operation(`readlink ${target}`, ({ system, at }) => system.readlink(at(target)))),
  path.map((target) => operation(`listxattr ${target}`, ({ system, at }) => system.listxattr(at(target)))),
];

const held = [
  fc.tuple(slot, filePath, fc.constantFrom(O_RDONLY, O_RDWR)).map(([index, target, flags]) =>
    operation(`hold ${index} ${target} ${flags}`, async ({ system, at, held: open }) => {
      if (open.has(index)) return 'held';
      open.set(index, await system.open(at(target), flags | O_NONBLOCK));
      return 'now held';
    }),
  ),
  slot.map((index) =>
    operation(`held ${index} read`, (world) => holding(world, index, (fd) => world.system.pread(fd, 20_000, 0))),
  ),
  fc
    .tuple(slot, size, content)
    .map(([index, offset, text]) =>
      operation(`held ${index} write ${text.length}@${offset}`, (world) =>
        holding(world, index, (fd) => world.system.pwrite(fd, text, offset)),
      ),
    ),
  fc
    .tuple(slot, size)
    .map(([index, length]) =>
      operation(`held ${index} truncate ${length}`, (world) =>
        holding(world, index, (fd) => world.system.ftruncate(fd, length)),
      ),
    ),
  slot.map((index) =>
    operation(`held ${index} stat`, (world) =>
      holding(world, index, async (fd) => {
        const { mode: bits, size: length } = await world.system.fstat(fd);
        return (bits & 0o170000) === 0o040000 ? bits : [bits, length];
      }),
    ),
  ),
  slot.map((index) =>
    operation(`held ${index} close`, (world) =>
      holding(world, index, async (fd) => {
        world.held.delete(index);
        await world.system.close(fd);
      }),
    ),
  ),
];

/** Any operation; those that change names come more often than those that look. */
export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.oneof(...making) },
  { weight: 4, arbitrary: fc.oneof(...removing) },
  { weight: 3, arbitrary: fc.oneof(...changing) },
  { weight: 3, arbitrary: fc.oneof(...looking) },
  { weight: 4, arbitrary: fc.oneof(...held) },
);

/** What came of an operation, as text: the errno, or what it answered. */
export async function outcome(world: World, { run }: Operation): Promise<string> {
  let answer: unknown;
  const errno = await errnoOf(run(world).then((value) => (answer = value)));
  if (errno !== 'none') return errno;
  if (Buffer.isBuffer(answer)) return `data ${answer.toString('latin1')}`;
  return `ok ${JSON.stringify(answer, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))}`;
}

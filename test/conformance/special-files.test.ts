import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { acceptFrom, connectTo, listenAt, openSocket } from '../support/sockets.ts';
import { node } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const S_IFMT = 0o170000;
const S_IFSOCK = 0o140000;

const sockets: readonly Row[] = [
  {
    name: 'a socket is bound in the mount, connected to by another process, and passes data',
    lowers: [{ d: {} }],
    async run({ root, at, another }) {
      const other = await another();
      await root.chdir(at('d'));
      await other.chdir(at());
      const server = await openSocket(root);
      await listenAt(root, server, 's');
      expect((await root.stat(at('d/s'))).mode & S_IFMT).toBe(S_IFSOCK);
      const client = await openSocket(other);
      await connectTo(other, client, 'd/s');
      const served = await acceptFrom(root, server);
      await other.write(client, 'over the socket');
      expect((await root.read(served, 100)).toString()).toBe('over the socket');
      for (const fd of [served, server]) await root.close(fd);
      await other.close(client);
    },
    async after({ root, at }) {
      expect((await root.stat(at('d/s'))).mode & S_IFMT).toBe(S_IFSOCK);
    },
  },
  {
    name: 'a socket that is renamed, linked and chmod-ed is connected to by its new names',
    differs: { 'fuse-native': LIMITS.hardLinks },
    lowers: [{ d: {} }],
    async run({ root, at }) {
      await root.chdir(at());
      const server = await openSocket(root);
      await listenAt(root, server, 's');
      await root.rename('s', 'd/t');
      await root.chmod('d/t', 0o600);
      await root.link('d/t', 'u');
      for (const name of ['d/t', 'u']) {
        const client = await openSocket(root);
        await connectTo(root, client, name);
        await root.close(client);
        await root.close(await acceptFrom(root, server));
      }
      await root.close(server);
    },
  },
  {
    name: 'to bind where a name is there is EADDRINUSE; to connect to no listener ECONNREFUSED, to no socket too',
    lowers: [{ low: node(0o140644), file: 'x' }],
    async run({ root, at }) {
      await root.chdir(at());
      const socket = await openSocket(root);
      for (const name of ['low', 'file']) expect(await errnoOf(listenAt(root, socket, name))).toBe('EADDRINUSE');
      for (const name of ['low', 'file']) expect(await errnoOf(connectTo(root, socket, name))).toBe('ECONNREFUSED');
      expect(await errnoOf(connectTo(root, socket, 'none'))).toBe('ENOENT');
      expect(await errnoOf(root.open('low', O_RDONLY))).toBe('ENXIO');
      await root.close(socket);
    },
  },
  {
    name: 'a lower socket is removed, and another bound in its place',
    lowers: [{ s: node(0o140644) }],
    async run({ root, at }) {
      await root.chdir(at());
      await root.unlink('s');
      const server = await openSocket(root);
      await listenAt(root, server, 's');
      const client = await openSocket(root);
      await connectTo(root, client, 's');
      for (const fd of [client, server]) await root.close(fd);
    },
  },
];

const fifos: readonly Row[] = [
  {
    name: 'a fifo of a lower layer passes data between two processes, before and after its copy-up',
    lowers: [{ p: node(0o010644) }],
    async run({ root, at, another }) {
      const other = await another();
      const reader = await root.open(at('p'), O_RDONLY | O_NONBLOCK);
      const writer = await other.open(at('p'), O_WRONLY);
      await other.write(writer, 'one');
      expect((await root.read(reader, 100)).toString()).toBe('one');
      await root.chmod(at('p'), 0o600);
      const late = await other.open(at('p'), O_WRONLY);
      await other.write(late, 'two');
      expect((await root.read(reader, 100)).toString()).toBe('two');
    },
  },
  {
    name: 'a fifo without a reader is ENXIO to a writer that does not wait',
    lowers: [{ p: node(0o010644) }],
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('p'), O_WRONLY | O_NONBLOCK))).toBe('ENXIO');
      const both = await root.open(at('p'), O_RDWR);
      await root.write(both, 'x');
      expect((await root.read(both, 1)).toString()).toBe('x');
    },
  },
  {
    name: 'an unlinked fifo goes on between those who have it open',
    lowers: [{ p: node(0o010644) }],
    async run({ root, at }) {
      const reader = await root.open(at('p'), O_RDONLY | O_NONBLOCK);
      const writer = await root.open(at('p'), O_WRONLY);
      await root.unlink(at('p'));
      await root.write(writer, 'still');
      expect((await root.read(reader, 100)).toString()).toBe('still');
      expect(await root.names(at())).toEqual([]);
    },
  },
];

const devices: readonly Row[] = [
  {
    name: 'a device of a lower layer is opened as the device that it is, before and after its copy-up',
    needs: ['device nodes'],
    lowers: [{ null: node(0o020666, 0x103), zero: node(0o020666, 0x105) }],
    async run({ root, at }) {
      for (const mode of [0o666, 0o600]) {
        await root.chmod(at('zero'), mode);
        const zero = await root.open(at('zero'), O_RDWR);
        expect((await root.read(zero, 4)).toString()).toBe('\0\0\0\0');
        await root.close(zero);
        const none = await root.open(at('null'), O_RDWR);
        expect(await root.write(none, 'x')).toBe(1);
        expect((await root.read(none, 4)).length).toBe(0);
        await root.close(none);
      }
    },
  },
  {
    name: 'devices keep large numbers, and are renamed, linked and removed',
    needs: ['device nodes'],
    lowers: [{ big: node(0o060600, 0xfff_00fff), d: {} }],
    async run({ root, at }) {
      const { rdevMajor, rdevMinor } = await root.stat(at('big'));
      await root.link(at('big'), at('d/link'));
      await root.rename(at('big'), at('renamed'));
      expect(await root.stat(at('renamed'))).toMatchObject({ rdevMajor, rdevMinor, nlink: 2 });
      await root.unlink(at('d/link'));
    },
    async after({ root, at, lower }) {
      const { rdevMajor, rdevMinor } = await root.stat(lower(0, 'big'));
      expect(await root.stat(at('renamed'))).toMatchObject({ rdevMajor, rdevMinor, nlink: 1 });
    },
  },
  {
    name: 'a device with no driver is ENXIO to open',
    needs: ['device nodes'],
    lowers: [{ none: node(0o020666, 0x0f_fe_01) }],
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('none'), O_RDONLY))).toBe('ENXIO');
    },
  },
];

conformance('special files', [...sockets, ...fifos, ...devices]);

import { type Path, type System } from './system.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** `sun_path` of `struct sockaddr_un`. */
const LONGEST = 108;

/** A `struct sockaddr_un`; the path must be short, relative to the agent's working directory if need be. */
function address(path: Path): Buffer {
  if (path.length >= LONGEST) throw new Error(`a socket's path is shorter than ${LONGEST} bytes: ${path}`);
  const raw = Buffer.alloc(2 + LONGEST);
  raw.writeUInt16LE(AF_UNIX, 0);
  raw.write(path, 2, 'latin1');
  return raw;
}

export async function openSocket(system: System): Promise<number> {
  const reply = await system.agent.check('int socket(int domain, int type, int protocol)', [AF_UNIX, SOCK_STREAM, 0]);
  return Number(reply.value);
}

/** Makes the socket's file and listens. */
export async function listenAt(system: System, socket: number, path: Path): Promise<void> {
  const raw = address(path);
  await system.agent.check('int bind(int fd, const void *address, uint32_t length)', [socket, raw, raw.length]);
  await system.agent.check('int listen(int fd, int backlog)', [socket, 1]);
}

export async function connectTo(system: System, socket: number, path: Path): Promise<void> {
  const raw = address(path);
  await system.agent.check('int connect(int fd, const void *address, uint32_t length)', [socket, raw, raw.length]);
}

export async function acceptFrom(system: System, socket: number): Promise<number> {
  const reply = await system.agent.check('int accept(int fd, void *address, void *length)', [socket, null, null]);
  return Number(reply.value);
}

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DbusConnection } from './dbus-connection.ts';
import { type MessageWriter, type MethodCall } from './dbus-message.ts';

/** Socket of the systemd that manages a user's services; undefined where there is none. */
export function userManager(uid: number): string | undefined {
  const directory = process.env['XDG_RUNTIME_DIR'];
  const path = join(directory === undefined || directory === '' ? `/run/user/${uid}` : directory, 'systemd/private');
  return existsSync(path) ? path : undefined;
}

const PATIENCE_MILLISECONDS = 5_000;
const POLL_MILLISECONDS = 2;

/**
 * Has a user's systemd move a process into a scope of its own, whose control group is delegated to us, and removed with
 * the last process in it. Where the process's own group is not systemd's, the kernel allows the move to systemd alone.
 *
 * @param uid the user's, outside of our user namespace.
 */
export async function moveToScope(socket: string, uid: number, unit: string, pid: number): Promise<void> {
  const connection = await DbusConnection.open(socket, uid);
  try {
    await connection.call(startScope(unit, pid));
    // The answer comes when systemd has begun.
    for (const deadline = Date.now() + PATIENCE_MILLISECONDS; !isIn(unit, pid);) {
      if (Date.now() > deadline) throw new Error(`${unit} was not started`);
      await sleep(POLL_MILLISECONDS);
    }
  } finally {
    connection.close();
  }
}

function isIn(unit: string, pid: number): boolean {
  return readFileSync(`/proc/${pid}/cgroup`, 'latin1').includes(`/${unit}`);
}

/** org.freedesktop.systemd1(5): StartTransientUnit. */
function startScope(unit: string, pid: number): MethodCall {
  const property = (
    body: MessageWriter,
    name: string,
    signature: string,
    write: (value: MessageWriter) => void,
  ): void => {
    body.align(8).string(name).variant(signature, write);
  };
  return {
    destination: 'org.freedesktop.systemd1',
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.systemd1.Manager',
    member: 'StartTransientUnit',
    signature: 'ssa(sv)a(sa(sv))',
    write: (body) => {
      body.string(unit).string('fail');
      body.array(8, (properties) => {
        property(properties, 'Description', 's', (value) => value.string('a container of lamina'));
        property(properties, 'Delegate', 'b', (value) => value.uint32(1));
        property(properties, 'PIDs', 'au', (value) => value.array(4, (pids) => pids.uint32(pid)));
      });
      body.array(8, () => undefined);
    },
  };
}

// Makes system calls for a test, in a process of its own: as another user, inside a namespace, or on a mount that may
// hang. It runs from source (Node 20 reads no TypeScript), needs nothing of what is under test, and is as general as it
// can be: a message names a C function by its prototype; `out` lists the buffers that go back. See agent.ts.
import koffi from 'koffi';

const SONAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];

function load() {
  for (const soname of SONAMES) {
    try {
      return koffi.load(soname);
    } catch {
      continue;
    }
  }
  throw new Error(`none of ${SONAMES.join(', ')} can be loaded`);
}

const libc = load();
const functions = new Map();

function bind(prototype) {
  let bound = functions.get(prototype);
  if (bound === undefined) functions.set(prototype, (bound = libc.func(prototype)));
  return bound;
}

function become({ uid, gid, groups }) {
  process.setgroups(groups);
  process.setgid(gid);
  process.setuid(uid);
}

const identity = JSON.parse(process.argv[2] ?? 'null');
if (identity !== null) become(identity);
// PR_SET_PDEATHSIG: SIGKILL, when the test is gone; a blocking call would not see that its channel closes.
libc.func('int prctl(int option, unsigned long argument)')(1, 9);
process.umask(0o022);

process.on('message', ({ id, prototype, parameters, out }) => {
  try {
    const value = bind(prototype)(...parameters);
    process.send({ id, value, errno: koffi.errno(), out: out.map((index) => parameters[index]) });
  } catch (error) {
    process.send({ id, failure: String(error) });
  }
});
process.on('disconnect', () => process.exit());
process.send({ id: 0, value: process.pid, errno: 0, out: [] });

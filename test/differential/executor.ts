// The process that does the steps: on one union, in the union's mount namespace. It makes all calls of a message one
// after the other, without another process between them.
import { writeFileSync } from 'node:fs';
import { act } from './calls.ts';
import { cstring, libcCalls as libc } from './libc.ts';
import { openMemory } from './memory.ts';
import { type Order, type Place, type Report } from './protocol.ts';
import { snapshot } from './snapshot.ts';
import { actAs, outcomeOf, World } from './world.ts';

// PR_SET_PDEATHSIG: SIGKILL, when the suite is gone.
libc.prctl(1, 9);
openMemory();

const worlds = new Map<string, World>();

function worldOf(place: Place, site: string): World {
  const key = `${place.root}/${site}`;
  const known = worlds.get(key) ?? new World(place, site);
  worlds.set(key, known);
  return known;
}

function release(): void {
  for (const world of worlds.values()) world.release();
  worlds.clear();
  libc.umask(0o022);
}

function perform(order: Order): unknown {
  switch (order.do) {
    case 'make':
      for (const { site } of order.programs) {
        const path = cstring(`${order.place.root}/${site}`);
        outcomeOf(() => libc.mkdir(path, 0o777));
        libc.chmod(path, 0o777);
      }
      return undefined;
    case 'run':
      return order.programs.map(({ site, steps }) => {
        const world = worldOf(order.place, site);
        libc.umask(world.mask);
        const outcomes = steps.map((step) => act(world, step));
        actAs('root');
        return outcomes;
      });
    case 'release':
      release();
      return undefined;
    case 'drop caches':
      writeFileSync('/proc/sys/vm/drop_caches', '2');
      return undefined;
    case 'snapshot':
      return order.sites.map((site) => snapshot(`${order.place.root}/${site}`, order.place.isReference));
  }
}

process.on('message', (order: Order) => {
  let report: Report;
  try {
    report = { answer: perform(order) };
  } catch (error) {
    report = { failure: error instanceof Error ? (error.stack ?? String(error)) : String(error) };
  }
  process.send?.(report);
});
process.on('disconnect', () => process.exit());
process.send?.({ answer: 'ready' } satisfies Report);

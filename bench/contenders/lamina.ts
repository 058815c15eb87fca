import { join } from 'node:path';
import { capture, run } from '../command.ts';
import { type Contender, mountOptions, type Requests } from './contender.ts';
import { mountDaemon } from './daemon.ts';

interface Stats {
  readonly requests: Requests;
}

async function countRequests(distribution: string, path: string): Promise<Requests> {
  const text = await capture([process.execPath, join(distribution, 'cli/lamina.js'), 'stats', '--json', path]);
  return (JSON.parse(text) as Stats).requests;
}

/** What tells one lamina from another. */
export interface LaminaVariant {
  readonly name: string;
  readonly description?: string;
  readonly extra?: readonly string[];
  readonly rootful?: string;
  /** Its lower layers have indexes while it is mounted; making them is not measured. */
  readonly isIndexed?: true;
}

/** lamina as built in `distribution`, with more options than the union's. */
export function lamina(distribution: string, variant: LaminaVariant): Contender {
  const { name, description, extra = [], rootful, isIndexed } = variant;
  const index = (...parameters: readonly string[]): Promise<void> =>
    run([process.execPath, join(distribution, 'cli/lamina.js'), 'index', ...parameters]);
  const program = join(distribution, 'cli/fuse-lamina');
  return {
    name,
    ...(description !== undefined && { description }),
    hasDaemon: true,
    missing: ({ rootless }) => Promise.resolve(rootless === true ? rootful : undefined),
    command: (union, path) => [program, '-o', mountOptions(union, path, extra), path],
    async mount(union, path) {
      const options = mountOptions(union, path, extra);
      if (isIndexed === true) await index(...union.lowers);
      const mounted = await mountDaemon([program, '-f', '-o', options, path], path);
      const requests = (): Promise<Requests> => countRequests(distribution, path);
      if (isIndexed !== true) return { ...mounted, requests };
      const unmount = async (): Promise<void> => {
        await mounted.unmount();
        await index('--remove', ...union.lowers);
      };
      return { ...mounted, requests, unmount };
    },
  };
}

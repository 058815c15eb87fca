import { type AttachOptions, startAttached } from './attach.ts';
import { type RunOptions } from './create.ts';
import { type Listeners, create, discardingUnstarted } from './run-detached.ts';
import { type ClientEnd } from './supervisor/attached-client.ts';
import { DetachedSupervisor } from './supervisor/detached-supervisor.ts';

/**
 * Runs a command in a new container, which a process of its own supervises, attached to it, until it ends or the detach
 * keys are typed. Call it where `enterUserNamespace` has been.
 *
 * @throws RunError where it cannot be started.
 */
export async function runAttached(options: RunOptions, client: AttachOptions & Listeners): Promise<ClientEnd> {
  const supervisor = DetachedSupervisor.spawn(options.container);
  try {
    const container = await create(options, client);
    return await discardingUnstarted(container, () => startAttached(container, supervisor, client));
  } finally {
    supervisor.close();
  }
}

import { Command } from 'commander';
import { liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { parseExpose } from '../runner/container/network/ports.ts';
import { formatHost, portLines, publishedAt } from '../runner/container/network/published.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { print } from './print.ts';

function act(reference: string, port: string | undefined): void {
  const state = new ContainerStore(storeRoot()).find(reference).readState();
  const isThere = ['running', 'orphaned'].includes(liveStatus(state));
  const published = isThere ? (state.network?.ports ?? []) : [];
  if (port === undefined) {
    for (const line of portLines(published)) print(`${line}\n`);
    return;
  }
  const [wanted, ...others] = parseExpose(port);
  if (wanted === undefined || others.length > 0) throw new Error(`${port} is more than one port`);
  const found = publishedAt(published, wanted);
  if (found.length === 0) throw new Error(`no public port ${port} is published for ${reference}`);
  for (const { hostIp, hostPort } of found) print(`${formatHost(hostIp, hostPort)}\n`);
}

/** `lamina port`. */
export function createCommand(): Command {
  return new Command('port')
    .description(
      'List the ports of a running container that are published, and where on this machine they are reached.',
    )
    .argument('<container>', 'name, id, or first digits of the id')
    .argument('[port[/tcp|udp]]', 'one port of the container, to be told where alone it is reached')
    .action(act);
}

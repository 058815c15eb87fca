import { type Container, type ContainerState, liveStatus } from './container.ts';
import { labelsOf, statusOf } from './filters.ts';
import { formatPorts } from './network/published.ts';

/** A container as docker lists it, in its words. */
export interface ListedContainer {
  readonly ID: string;
  readonly Image: string;
  readonly Command: string;
  readonly CreatedAt: string;
  readonly RunningFor: string;
  readonly Ports: string;
  readonly State: string;
  readonly Status: string;
  readonly Names: string;
  readonly Labels: string;
  readonly Mounts: string;
  readonly Networks: string;
}

const SHORT_ID = 12;
const SHORT_TEXT = 20;

/**
 * @param now milliseconds since 1970.
 * @param isWhole nothing is cut short.
 */
export function describeContainer(container: Container, now: number, isWhole: boolean): ListedContainer {
  const { config } = container;
  const state = container.readState();
  const cut = (text: string): string =>
    isWhole || text.length <= SHORT_TEXT ? text : `${text.slice(0, SHORT_TEXT - 1)}…`;
  const command = config.args.join(' ');
  return {
    ID: isWhole ? config.id : config.id.slice(0, SHORT_ID),
    Image: config.image,
    // The quotes count, as docker has it.
    Command: isWhole || command.length + 2 <= SHORT_TEXT ? `"${command}"` : `"${command.slice(0, SHORT_TEXT - 3)}…"`,
    CreatedAt: formatTime(config.created),
    RunningFor: `${describeAge(now - Date.parse(config.created))} ago`,
    Ports: isUp(state) ? formatPorts(state.network?.ports ?? [], state.network?.exposed) : '',
    State: statusOf(container),
    Status: describeStatus(container, now),
    Names: config.name,
    Labels: Object.entries(labelsOf(container))
      .map(([name, value]) => `${name}=${value}`)
      .join(','),
    Mounts: container.mounts
      .map((mount) => cut(mount.type === 'tmpfs' ? '' : (mount.name ?? mount.source)))
      .filter(Boolean)
      .join(','),
    Networks: config.options?.network.mode ?? '',
  };
}

/** `2026-11-24 11:58:45 +0000 UTC`. */
function formatTime(time: string): string {
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
}

function describeStatus(container: Container, now: number): string {
  const state = container.readState();
  const since = (time: string | undefined): string => describeAge(now - Date.parse(time ?? ''));
  switch (liveStatus(state)) {
    case 'created':
    case 'starting':
      return 'Created';
    case 'restarting':
      return `Restarting (${state.exitCode ?? 0}) ${since(state.finished)} ago`;
    case 'running':
      return `Up ${since(state.started)}${statusOf(container) === 'paused' ? ' (Paused)' : ''}`;
    case 'orphaned':
      return `Up ${since(state.started)} (orphaned)`;
    case 'exited':
      return `Exited (${state.exitCode ?? 0}) ${since(state.finished)} ago`;
    case 'dead':
      // Its supervisor was killed, and nobody was there to see how the container ended.
      return 'Dead';
  }
}

/** Whether `ps` lists it without being asked for all. */
export function isUp(state: ContainerState): boolean {
  return ['running', 'restarting', 'orphaned'].includes(liveStatus(state));
}

// Docker's units: each serves until two of the next one are full.
const UNITS: readonly (readonly [unit: string, seconds: number])[] = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

/** `5 seconds`, `About a minute`, `3 hours`: a time as docker tells it. */
export function describeAge(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (!(seconds >= 1)) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  if (seconds < 120) return 'About a minute';
  if (seconds >= 3_600 && seconds < 7_200) return 'About an hour';
  const [unit, length] = UNITS.find(([, length]) => seconds >= 2 * length) ?? ['minute', 60];
  return `${Math.floor(seconds / length)} ${unit}s`;
}

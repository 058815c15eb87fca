import { isPaused } from './cgroup/pausing.ts';
import { type Container, type ContainerState, liveStatus } from './container.ts';

/** One line of `lamina ps`. */
export interface ListedContainer {
  readonly id: string;
  readonly image: string;
  readonly command: string;
  readonly created: string;
  readonly status: string;
  readonly name: string;
}

/** @param now milliseconds since 1970. */
export function describeContainer(container: Container, state: ContainerState, now: number): ListedContainer {
  const { config } = container;
  return {
    id: config.id,
    image: config.image,
    command: JSON.stringify(config.args.join(' ')),
    created: `${describeAge(now - Date.parse(config.created))} ago`,
    status: describeStatus(container, state, now),
    name: config.name,
  };
}

function describeStatus(container: Container, state: ContainerState, now: number): string {
  const since = (time: string | undefined): string => describeAge(now - Date.parse(time ?? ''));
  switch (liveStatus(state)) {
    case 'created':
    case 'starting':
      return 'Created';
    case 'restarting':
      return `Restarting (${state.exitCode ?? 0}) ${since(state.finished)} ago`;
    case 'running':
      return `Up ${since(state.started)}${isPaused(container) ? ' (Paused)' : ''}`;
    case 'orphaned':
      return `Up ${since(state.started)} (orphaned)`;
    case 'exited':
      return `Exited (${state.exitCode ?? 0}) ${since(state.finished)} ago`;
    case 'dead':
      // Its supervisor was killed, and nobody was there to see how the container ended.
      return 'Dead';
  }
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

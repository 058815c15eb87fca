/** Which process of a container's is killed. */
export type Role = 'supervisor' | 'client' | 'stage' | 'init' | 'helper' | 'server';

/** What is being done when a process is killed. */
export interface Trial {
  /** Of `run`: how the container is made that is there before; none where the action makes it. */
  readonly made?: readonly string[];
  /** The container is running before. */
  readonly runs?: true;
  /** Command line; NAME is the container's, IMAGE stands for the image and its command. */
  readonly action: readonly string[];
  readonly roles: readonly Role[];
  /** An ordinary user has no control groups here, and no overlayfs in a mount namespace that is not its own. */
  readonly isForRoot?: true;
}

const RUNNING = { made: ['--stop-timeout', '0'], runs: true } as const;

const STARTS: readonly Trial[] = [
  { action: ['run', '-d', '--name', 'NAME', 'IMAGE'], roles: ['supervisor', 'client', 'stage'] },
  { action: ['run', '--name', 'NAME', 'IMAGE'], roles: ['client', 'stage', 'init'] },
  { action: ['run', '-dt', '--name', 'NAME', 'IMAGE'], roles: ['supervisor', 'client', 'stage'] },
  {
    action: ['run', '-d', '--restart', 'always', '--name', 'NAME', 'IMAGE'],
    roles: ['supervisor', 'client', 'stage', 'init'],
  },
  {
    action: ['run', '-d', '--network', 'pasta', '--name', 'NAME', 'IMAGE'],
    roles: ['helper', 'supervisor', 'client'],
  },
  { action: ['run', '-d', '--network', 'slirp4netns', '--name', 'NAME', 'IMAGE'], roles: ['helper', 'supervisor'] },
  {
    action: ['run', '-d', '--memory', '64m', '--name', 'NAME', 'IMAGE'],
    roles: ['supervisor', 'stage'],
    isForRoot: true,
  },
  { action: ['create', '--name', 'NAME', 'IMAGE'], roles: ['client'] },
  { made: [], action: ['start', 'NAME'], roles: ['supervisor', 'client', 'stage'] },
];

const ENDS: readonly Trial[] = [
  { ...RUNNING, action: ['stop', 'NAME'], roles: ['client', 'supervisor', 'init'] },
  { ...RUNNING, action: ['rm', '-f', 'NAME'], roles: ['client', 'supervisor', 'init'] },
  { ...RUNNING, action: ['restart', 'NAME'], roles: ['client', 'supervisor', 'stage'] },
  {
    ...RUNNING,
    action: ['exec', 'NAME', 'sh', '-c', 'sync; echo x; sleep 0.2'],
    roles: ['client', 'supervisor', 'init'],
  },
  { ...RUNNING, action: ['commit', 'NAME', 'made'], roles: ['client', 'supervisor', 'init'] },
  { ...RUNNING, action: ['pause', 'NAME'], roles: ['client', 'supervisor', 'init'] },
  { ...RUNNING, action: ['export', '-o', '/dev/null', 'NAME'], roles: ['client', 'supervisor', 'server'] },
  { ...RUNNING, action: ['rename', 'NAME', 'other'], roles: ['client', 'supervisor'] },
  { ...RUNNING, action: ['update', '--restart', 'no', 'NAME'], roles: ['client'] },
  { made: [], action: ['rm', 'NAME'], roles: ['client'] },
  { made: [], action: ['export', '-o', '/dev/null', 'NAME'], roles: ['client', 'server'] },
];

const MIDDLES: readonly Trial[] = [
  { ...RUNNING, action: ['wait', 'NAME'], roles: ['supervisor', 'init', 'client'] },
  { made: ['--restart', 'always'], runs: true, action: ['logs', '-f', 'NAME'], roles: ['init', 'supervisor'] },
  { made: ['--network', 'pasta'], runs: true, action: ['logs', 'NAME'], roles: ['helper', 'supervisor', 'init'] },
  { made: ['-t'], runs: true, action: ['attach', 'NAME'], roles: ['client', 'supervisor', 'init'] },
  {
    made: ['--driver', 'overlay'],
    runs: true,
    action: ['logs', 'NAME'],
    roles: ['supervisor', 'init'],
    isForRoot: true,
  },
];

/** One kill after another: the trials in turn, and of each all roles in turn. */
export function killAt(number: number, isRoot: boolean): { readonly trial: Trial; readonly role: Role } {
  const trials = [...STARTS, ...ENDS, ...MIDDLES].filter(({ isForRoot }) => isRoot || isForRoot !== true);
  const kills = trials.flatMap((trial) => trial.roles.map((role) => ({ trial, role })));
  // 37 is prime to their number: neighbours differ.
  const kill = kills[(number * 37) % kills.length];
  if (kill === undefined) throw new Error('there are no kills');
  return kill;
}

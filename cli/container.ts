import { Command } from 'commander';

type Loader = () => Promise<{ readonly createCommand: (name?: string) => Command }>;

/** Commands of containers, which are known without `container`, too, most of them. */
const COMMANDS: Readonly<Record<string, Loader>> = {
  attach: () => import('./attach.ts'),
  commit: () => import('./commit.ts'),
  cp: () => import('./cp.ts'),
  create: () => import('./create.ts'),
  diff: () => import('./diff.ts'),
  exec: () => import('./exec.ts'),
  exists: () => import('./container-exists.ts'),
  export: () => import('./export.ts'),
  inspect: () => import('./inspect-container.ts'),
  kill: () => import('./kill.ts'),
  logs: () => import('./logs.ts'),
  ls: () => import('./ps.ts'),
  pause: () => import('./pause.ts'),
  prune: () => import('./container-prune.ts'),
  rename: () => import('./rename.ts'),
  restart: () => import('./restart.ts'),
  rm: () => import('./rm.ts'),
  run: () => import('./run.ts'),
  start: () => import('./start.ts'),
  stats: () => import('./stats.ts'),
  stop: () => import('./stop.ts'),
  top: () => import('./top.ts'),
  unpause: () => import('./unpause.ts'),
  update: () => import('./update.ts'),
  wait: () => import('./wait.ts'),
};

const ALIASES: Readonly<Record<string, string>> = { list: 'ls', ps: 'ls' };

/** `lamina container`; only the command that is asked for is loaded. */
export async function createCommand(): Promise<Command> {
  const command = new Command('container').description('Work with containers.').enablePositionalOptions();
  const asked = process.argv[3] ?? '';
  const name = ALIASES[asked] ?? asked;
  const names = Object.hasOwn(COMMANDS, name) ? [name] : Object.keys(COMMANDS);
  for (const one of names) {
    const made = (await COMMANDS[one]?.())?.createCommand(one);
    if (made !== undefined) command.addCommand(one === 'ls' ? made.alias('list').alias('ps') : made);
  }
  return command;
}

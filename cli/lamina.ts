#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { recallExtraCertificates } from '../runner/extra-certificates.ts';
import { complain, messageOf } from './complain.ts';
import { version } from './version.ts';

/** A command's own file, loaded only when it is asked for: a start of the program loads nothing that it does not use. */
interface CommandModule {
  readonly createCommand: () => Command | Promise<Command>;
}

type Load = () => Promise<CommandModule>;

/** For a command through which layers stream: memory that the loading of its modules takes would be kept. */
function streaming(load: Load): Load {
  return async () => {
    const { keepYoungSpaceSmall } = await import('../runner/image/young-space.ts');
    keepYoungSpaceSmall();
    return load();
  };
}

/** Whose namespaces are to be shared, or that help is wanted, the command's own parser tells. */
const IS_FOR_THE_PARSER = /container:|^--help$|^-h$/;

/** Other ways to run a container than in the foreground, or to have its filesystem; in a command's arguments they are guesses. */
const IS_SERVED_ELSEWHERE = /^-[a-z]*[dt]|^--(?:backend|detach|driver|help|restart|tty)/i;

/**
 * For `run`: an ordinary user's process is executed again, in a user namespace, before it loads what it does in there. The
 * thread that is to serve the container's filesystem comes up while all else is loaded.
 */
function insideNamespace(load: Load): Load {
  return async () => {
    const [, , name, ...rest] = process.argv;
    if (process.geteuid?.() !== 0 && name === 'run' && !rest.some((argument) => IS_FOR_THE_PARSER.test(argument))) {
      const { enterUserNamespace } = await import('../runner/container/userns.ts');
      await enterUserNamespace();
    }
    const isServedElsewhere =
      process.env['LAMINA_DRIVER'] !== undefined || rest.some((argument) => IS_SERVED_ELSEWHERE.test(argument));
    if (name === 'run' && !isServedElsewhere) {
      const { prepareMount } = await import('../fs/index.ts');
      prepareMount();
    }
    return load();
  };
}

const COMMANDS: Readonly<Record<string, Load>> = {
  run: insideNamespace(() => import('./run.ts')),
  create: () => import('./create.ts'),
  start: () => import('./start.ts'),
  stop: () => import('./stop.ts'),
  restart: () => import('./restart.ts'),
  rename: () => import('./rename.ts'),
  wait: () => import('./wait.ts'),
  attach: () => import('./attach.ts'),
  kill: () => import('./kill.ts'),
  logs: () => import('./logs.ts'),
  ps: () => import('./ps.ts'),
  inspect: () => import('./inspect.ts'),
  container: () => import('./container.ts'),
  rm: () => import('./rm.ts'),
  top: () => import('./top.ts'),
  exec: () => import('./exec.ts'),
  cp: () => import('./cp.ts'),
  port: () => import('./port.ts'),
  pause: () => import('./pause.ts'),
  unpause: () => import('./unpause.ts'),
  update: () => import('./update.ts'),
  diff: () => import('./diff.ts'),
  commit: streaming(() => import('./commit.ts')),
  pull: streaming(() => import('./pull.ts')),
  push: streaming(() => import('./push.ts')),
  search: () => import('./search.ts'),
  login: () => import('./login.ts'),
  logout: () => import('./logout.ts'),
  load: streaming(() => import('./load.ts')),
  save: () => import('./save.ts'),
  squash: () => import('./squash.ts'),
  import: () => import('./import.ts'),
  export: () => import('./export.ts'),
  images: () => import('./images.ts'),
  image: () => import('./image.ts'),
  volume: () => import('./volume.ts'),
  system: () => import('./system.ts'),
  history: () => import('./history.ts'),
  tag: () => import('./tag.ts'),
  untag: () => import('./untag.ts'),
  rmi: () => import('./rmi.ts'),
  mount: () => import('./mount.ts'),
  umount: () => import('./umount.ts'),
  fsck: () => import('./fsck.ts'),
  index: () => import('./index.ts'),
  mounts: () => import('./mounts.ts'),
  stats: () => import('./stats.ts'),
  doctor: () => import('./doctor.ts'),
  try: () => import('./try.ts'),
  demo: () => import('./demo.ts'),
};

async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command('lamina')
    .description('A union filesystem over FUSE, and containers that run in it.')
    .showHelpAfterError('(lamina --help lists the commands)')
    .version(version(), '-V, --version')
    .enablePositionalOptions();
  // Asked for by scripts that look whether there is a lamina.
  if (name === '--version' || name === '-V') return program;
  const named = name === undefined || !Object.hasOwn(COMMANDS, name) ? undefined : COMMANDS[name];
  const loaders = named === undefined ? Object.values(COMMANDS) : [named];
  for (const load of loaders) program.addCommand(await (await load()).createCommand());
  speakAsOurselves(program);
  return program;
}

// Of their own: run, exec and try have 125 for all that is wrong before the command runs, others mount(8)’s and fsck(8)’s.
const HAS_OWN_CODES = /^(?:run|exec|try|u?mount|mounts|fsck|check)$/;
const BAD_FLAG = 125;

/** Docker's and podman's code for a flag that is not understood, whatever the command. */
function usageCode({ code, exitCode }: CommanderError): number {
  const isFlag = ['commander.unknownOption', 'commander.optionMissingArgument', 'commander.invalidArgument'];
  return isFlag.includes(code) ? BAD_FLAG : exitCode;
}

/** What commander finds wrong begins with whom it is from, as all else that we say. */
function speakAsOurselves(command: Command): void {
  command.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'lamina: ')) });
  if (!HAS_OWN_CODES.test(command.name())) command.exitOverride((error) => process.exit(usageCode(error)));
  command.commands.forEach(speakAsOurselves);
}

/** Docker's, where a container could not be run: `run` itself may not have been loaded. */
const OWN_ERROR = 125;

async function main(): Promise<void> {
  recallExtraCertificates();
  const [, , name] = process.argv;
  try {
    const program = await createProgram(name);
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) throw error;
    complain(messageOf(error));
    process.exitCode = name === 'run' ? OWN_ERROR : 1;
  }
}

void main();

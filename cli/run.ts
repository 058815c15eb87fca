import { Command, Option } from 'commander';
import { type Backend, BACKENDS, exitNow } from '../fs/index.ts';
import { complain, messageOf } from './complain.ts';
import { type RunOptions, checkHostname, parseVolume } from '../runner/container/options.ts';
import { run } from '../runner/container/run.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { type ObtainOptions, PULL_POLICIES, type PullPolicy } from '../runner/image/obtain.ts';
import { parsePlatform } from '../runner/image/platform.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { tlsVerifyOption } from './tls-verify.ts';

interface Flags {
  readonly rm?: true;
  readonly interactive?: true;
  readonly readOnly?: true;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly volume?: readonly string[];
  readonly network: 'host' | 'none';
  readonly backend?: Backend;
  readonly workdir?: string;
  readonly user?: string;
  readonly name?: string;
  readonly hostname?: string;
  readonly entrypoint?: string;
  readonly pull: PullPolicy;
  readonly platform?: string;
  readonly quiet?: true;
  readonly tlsVerify: string;
  readonly limit?: readonly string[];
}

const LIFETIME = `
The container is to end with this command, which serves its filesystem: should this command be killed, the kernel
kills the container too. A program inside can escape that (PR_SET_PDEATHSIG), and one that is executed set-uid, set-gid
or with file capabilities as the container's first process escapes it by the kernel's own rule. Such a container runs
on without its filesystem; "lamina ps" shows it as orphaned, and "lamina rm -f" kills it.`;

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function optionsOf(image: string, command: readonly string[], flags: Flags): RunOptions {
  const { workdir, user, name, hostname, entrypoint, backend } = flags;
  if (workdir !== undefined && !workdir.startsWith('/')) {
    throw new Error(`working directory ${JSON.stringify(workdir)} is not an absolute path`);
  }
  return {
    image,
    obtain: obtainOptionsOf(image, flags),
    command,
    remove: flags.rm === true,
    interactive: flags.interactive === true,
    readOnly: flags.readOnly === true,
    env: flags.env ?? [],
    envFiles: flags.envFile ?? [],
    volumes: (flags.volume ?? []).map(parseVolume),
    isolatedNetwork: flags.network === 'none',
    ...{ workdir, user, name, entrypoint, backend },
    hostname: hostname === undefined ? undefined : checkHostname(hostname),
  };
}

function obtainOptionsOf(image: string, { pull, platform, quiet, tlsVerify, limit = [] }: Flags): ObtainOptions {
  return {
    policy: pull,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    meanings: async () => {
      const { shortNameMeanings } = await import('./pull-image.ts');
      return shortNameMeanings(image);
    },
    pull: async (store) => {
      const isQuiet = quiet === true;
      if (!isQuiet) complain(`pulling image ${image}`);
      // A start that pulls nothing loads nothing of it.
      const { pullByName } = await import('./pull-image.ts');
      const flags = { quiet: isQuiet, tlsVerify, limit, ...(platform === undefined ? {} : { platform }) };
      return (await pullByName(store, image, flags)).image.id;
    },
  };
}

async function act(image: string, command: readonly string[], flags: Flags): Promise<void> {
  let exitCode: number;
  try {
    await enterUserNamespace();
    exitCode = await run(optionsOf(image, command, flags), complain);
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  }
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  exitNow(exitCode);
}

/** `lamina run`. */
export function createCommand(): Command {
  return new Command('run')
    .description("Run a command in a new container, in the foreground. The network is the host's for now.")
    .argument('<image>', 'name, id, or the first digits of the id')
    .argument('[command...]', "what to run instead of the image's own command, with its arguments")
    .addOption(
      new Option('--pull <when>', 'take the image from its registry: always, where it is missing, or never')
        .choices(PULL_POLICIES)
        .default('missing'),
    )
    .option(
      '--platform <os/arch>',
      "what the image must be for (default: whatever the store has; of a registry, this machine's)",
    )
    .addOption(tlsVerifyOption())
    .option('-q, --quiet', 'say nothing of a pull')
    .option(
      '--limit <name=value>',
      'what an image that is pulled may ask for: see lamina pull --help; can be repeated',
      collect,
    )
    .option('--rm', 'remove the container when it ends')
    .option('-i, --interactive', 'keep standard input open; without it the command reads end of file')
    .option('-e, --env <name[=value]>', "set a variable, or pass on the caller's own; can be repeated", collect)
    .option('--env-file <file>', 'variables from a file, one a line; can be repeated', collect)
    .option('-v, --volume <host:inside[:ro]>', 'bind a directory or file of the host; can be repeated', collect)
    .option('-w, --workdir <directory>', 'working directory, which must exist')
    .option('-u, --user <user[:group]>', 'names or numbers')
    .option('--name <name>', 'name of the container')
    .option('-h, --hostname <name>', "host name; the id's first digits where none is given")
    .option('--entrypoint <command>', "in place of the image's entrypoint")
    .option('--read-only', 'no change to the root filesystem; /run, /tmp and /var/tmp are writable and temporary')
    .addOption(
      new Option('--network <network>', "host: the host's; none: the loopback interface alone")
        .choices(['host', 'none'])
        .default('host'),
    )
    .addOption(
      new Option(
        '--backend <name>',
        'who serves the root filesystem: device, lamina itself; fuse-native, libfuse 2.9 in the npm package of that name',
      ).choices(BACKENDS),
    )
    .addHelpText('after', LIFETIME)
    .helpOption('--help', 'display help for command')
    .passThroughOptions()
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}

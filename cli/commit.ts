import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { commitContainer } from '../runner/container/commit.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type Packing } from '../runner/image/compress.ts';
import { CHANGE_INSTRUCTIONS } from '../runner/image/config-change.ts';
import { sourceDateEpoch } from '../runner/image/creation-time.ts';
import { type ManifestFormat } from '../runner/image/grown-image.ts';
import { fullName, parseReference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';

interface Flags {
  readonly author: string;
  readonly message: string;
  readonly change: readonly string[];
  readonly pause: boolean;
  readonly format: ManifestFormat;
  readonly compression: Packing | 'none';
  readonly quiet?: true;
  readonly iidfile?: string;
  readonly squash?: true;
}

async function act(reference: string, name: string | undefined, flags: Flags): Promise<void> {
  await enterUserNamespace(true);
  const store = openStore();
  const container = new ContainerStore(store.root).find(reference);
  const warnings = new Warnings();
  let id: string;
  try {
    const commit = flags.squash === true ? await squashed(flags) : commitContainer;
    id = await commit(store, container, {
      ...{ name: name === undefined ? undefined : nameOf(name), warnings, epoch: sourceDateEpoch() },
      ...{ author: flags.author, message: flags.message, changes: flags.change, pause: flags.pause },
      ...{ format: flags.format, packing: flags.compression === 'none' ? undefined : flags.compression },
    });
    if (flags.iidfile !== undefined) writeFileSync(flags.iidfile, id);
  } catch (error) {
    throw new Error(`cannot commit container ${reference}: ${messageOf(error)}`, { cause: error });
  }
  if (flags.quiet !== true) for (const line of warnings.lines()) complain(line);
  print(`${id}\n`);
}

async function squashed({ format, compression }: Flags): Promise<typeof commitContainer> {
  if (format !== 'oci' || compression !== 'none') {
    throw new Error('--squash makes a plain OCI image: it does not go with --format docker or --compression');
  }
  return (await import('../runner/container/commit-squashed.ts')).commitSquashed;
}

function nameOf(text: string): string {
  const reference = parseReference(text);
  if (reference.digest === undefined) return fullName(reference);
  throw new Error(`${text} has a digest, which an image gets by what is in it: give a name and a tag`);
}

const collect = (value: string, previous: readonly string[]): string[] => [...previous, value];

/** docker's and podman's form of a choice, `--pause=false`: commander would take the next word for the value. */
function takePauseValue(argv: string[]): void {
  for (const [at, argument] of argv.entries()) {
    const value = /^(?:--pause|-p)=(?:(1|t|true)|(?:0|f|false))$/i.exec(argument);
    if (value !== null) argv[at] = value[1] === undefined ? '--no-pause' : '--pause';
  }
}

const HELP = `
The image has the layers of the container's image and one more, of what the container changed: what a moved directory
holds, whole. It starts what the container has started. Volumes and /etc/hosts, hostname and resolv.conf are not in it.

--change takes an instruction of a Dockerfile: ${CHANGE_INSTRUCTIONS}.
SOURCE_DATE_EPOCH in the environment gives the image its time, and is the latest time of a file in the new layer.

Example: lamina commit -a 'Ann <ann@example.org>' -c 'CMD ["nginx"]' -c 'ENV A=1' web web:2`;

/** `lamina commit`. */
export function createCommand(): Command {
  takePauseValue(process.argv);
  return new Command('commit')
    .description('Make an image of what a container changed, whether it runs or not; print its id.')
    .argument('<container>', 'name, id, or first digits of the id')
    .argument('[image]', 'name for the image, with a tag or without')
    .option('-a, --author <author>', 'who made it', '')
    .option('-m, --message <text>', 'a comment for its history', '')
    .option('-c, --change <instruction>', 'change how it is started (repeatable)', collect, [])
    .option('-p, --pause', 'have the container stand still meanwhile (default; --pause=false to let it run)', true)
    .addOption(new Option('--no-pause', 'as --pause=false').hideHelp())
    .addOption(new Option('-f, --format <format>', 'whose manifest to write').choices(['oci', 'docker']).default('oci'))
    .addOption(
      new Option('--compression <format>', 'pack the new layer in the store (plain, push can still pack it)')
        .choices(['none', 'gzip', 'zstd'])
        .default('none'),
    )
    .option('-s, --squash', 'make all layers one, those of the image that the container is of, too')
    .option('-q, --quiet', 'print nothing but the id')
    .option('--iidfile <file>', 'write the id to a file, too')
    .addHelpText('after', HELP)
    .action(act);
}

import { Command, type CommanderError } from 'commander';
import { checkContainers, runsOnLayer } from '../runner/container/check-containers.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { Repairer } from '../runner/image/check/repairer.ts';
import { type CheckCounts, type Problem, StoreCheck } from '../runner/image/check/store-check.ts';
import { openStore, type Store } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { printable, printableJson } from './printable.ts';
import { openSource } from './registry-flags.ts';
import { tlsVerifyOption } from './tls-verify.ts';

/** As of fsck(8). */
const EXIT = { clean: 0, repaired: 1, left: 4, failed: 8, usage: 16 } as const;

interface Flags {
  readonly quick?: true;
  readonly repair?: true;
  readonly json?: boolean;
  readonly tlsVerify: string;
}

/** All that a check found. */
interface Findings {
  readonly problems: readonly Problem[];
  readonly counts: CheckCounts & { readonly containers: number };
  /** What killed processes and other programs left, which does no harm. */
  readonly spare: {
    readonly blobs: number;
    readonly layers: number;
    readonly containers: number;
    readonly bytes: number;
  };
}

async function checkStore(store: Store, flags: Flags, report: (problem: Problem) => void): Promise<Findings> {
  const problems: Problem[] = [];
  const tell = (problem: Problem): void => {
    problems.push(problem);
    report(problem);
  };
  const containers = new ContainerStore(store.root);
  const content = store.lockContent();
  const scratch = store.scratch();
  try {
    const repairer =
      flags.repair === undefined
        ? undefined
        : new Repairer(store, scratch, {
            connect: (reference) => openSource(reference, flags),
            runsOn: (chainId) => runsOnLayer(containers.list(), chainId),
          });
    const check = new StoreCheck(store, scratch, { quick: flags.quick === true, repairer, report: tell });
    const images = await check.run();
    const count = checkUsers(store, flags.repair === true, tell);
    const { blobs, layers, bytes } = store.spare();
    const spare = { blobs: blobs.length, layers: layers.length, containers: containers.abandoned().length, bytes };
    return { problems, counts: { ...images, containers: count }, spare };
  } finally {
    content.release();
    scratch.remove();
  }
}

/** Checks containers and their holds. */
function checkUsers(store: Store, repair: boolean, tell: (problem: Problem) => void): number {
  for (const { holder, problem } of store.damagedHolds()) {
    const remedy = '--repair makes the container hold its image anew';
    tell({
      subject: `hold of container ${holder}`,
      problem,
      remedy,
      repaired: repair && mended(() => store.release(holder)),
    });
  }
  const { count, problems } = checkContainers(store);
  for (const { mend, ...problem } of problems) {
    tell({ ...problem, repaired: repair && mend !== undefined && mended(mend) });
  }
  return count;
}

function mended(mend: () => void): boolean {
  try {
    mend();
    return true;
  } catch (error) {
    complain(messageOf(error));
    return false;
  }
}

function describe({ subject, problem, remedy, repaired }: Problem): string {
  return printable(`${subject}: ${problem}; ${repaired ? 'repaired' : remedy}`);
}

function summary(store: Store, { problems, counts, spare }: Findings): string {
  const left = problems.filter(({ repaired }) => !repaired).length;
  const state = problems.length === 0 ? 'clean' : `${problems.length - left} repaired, ${left} left`;
  const { images, blobs, layers, containers } = counts;
  const seen = `${images} images, ${blobs} blobs, ${layers} layers, ${containers} containers`;
  const parts = [`${spare.blobs} blobs`, `${spare.layers} layers`, `${spare.containers} containers`];
  const isTidy = spare.blobs + spare.layers + spare.containers === 0;
  const rest = isTidy
    ? ''
    : `; ${parts.join(', ')} that nothing needs (${humanSize(spare.bytes)}) go with lamina system prune`;
  return `${store.root}: ${state} (${seen}${rest})`;
}

async function run(flags: Flags): Promise<void> {
  try {
    await enterUserNamespace(true);
    const store = openStore();
    const isJson = flags.json === true;
    const findings = await checkStore(store, flags, (problem) => {
      if (!isJson) print(`${describe(problem)}\n`);
    });
    print(`${isJson ? printableJson(findings, 2) : printable(summary(store, findings))}\n`);
    if (findings.problems.some(({ repaired }) => !repaired)) process.exitCode = EXIT.left;
    else process.exitCode = findings.problems.length > 0 ? EXIT.repaired : EXIT.clean;
  } catch (error) {
    complain(`cannot check the store: ${messageOf(error)}`);
    process.exitCode = EXIT.failed;
  }
}

const HELP = `
Every blob is held against its digest, every manifest and configuration against what it refers to, and every unpacked
layer against its archive: content, metadata, and that there is nothing else; and its index, which mounts read instead of
its directories, against the layer. A repair writes indexes that are wrong or missing. Containers must have their layers and
hold their image. What does no harm and nobody needs is counted; "lamina system prune" removes it.

Exit status: 0 nothing is wrong, 1 all was repaired, 4 something is left, 8 the store could not be checked, 16 a mistake in
the command line.`;

function exit(error: CommanderError): never {
  process.exit(error.exitCode === 0 ? EXIT.clean : EXIT.usage);
}

/** `lamina system check`. */
export function createCommand(): Command {
  return new Command('check')
    .description('Check all that is in the store, and repair it.')
    .option('--quick', 'read documents alone: of layers, see that they are there')
    .option('--repair', 'fetch blobs again from where they were pulled, and unpack layers again')
    .option('--json', 'print JSON')
    .addOption(tlsVerifyOption())
    .addHelpText('after', HELP)
    .exitOverride(exit)
    .action(run);
}

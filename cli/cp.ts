import { isatty } from 'node:tty';
import { Command } from 'commander';
import { type ByteString, argumentBytes, toText } from '../fs/index.ts';
import { type Container } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { type ContainerRoot, copiedProcess, openContainerRoot } from '../runner/container/copy/container-root.ts';
import { type CopyOptions, archiveOf, copy, unpackInto } from '../runner/container/copy/copy.ts';
import { HOST, containerSide } from '../runner/container/copy/side.ts';
import { namesInside, namesOutside } from '../runner/container/user-namespace/owner-names.ts';
import { enterNamespacesOf, enterUserNamespace } from '../runner/container/userns.ts';
import { decompress } from '../runner/image/compression.ts';
import { writeOutput } from '../runner/image/archive/output.ts';
import { DEFAULT_LIMITS } from '../runner/image/limits.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { refuseTerminal, writeArchive } from './archive-output.ts';
import { complain } from './complain.ts';

interface Flags {
  readonly archive?: true;
  readonly followLink?: true;
  readonly quiet?: true;
}

/** What one of the two arguments says. */
interface Place {
  readonly container: string | undefined;
  readonly path: ByteString;
}

const DETAILS = `
SRC/. stands for what is in a directory. A directory that is not there is made with the copy's own name; one that is
there gets the copy inside. "-" as source is a tar archive on standard input, which is unpacked in a directory of the
container; "-" as destination is a tar archive on standard output. A path of this machine with a colon in it begins
with "./" or "/".

Without -a, what is copied to a container belongs to its root, and what is copied to this machine to you, without set-id
bits, file capabilities and device nodes. A container that runs is read and written as it sees its files, volumes
included, and symlinks in it lead nowhere outside of it; one that does not run without its volumes.`;

/** `lamina cp`. */
export function createCommand(): Command {
  return new Command('cp')
    .description('Copy files and directories between a container, whether it runs or not, and this machine.')
    .argument('<source>', 'CONTAINER:PATH, a path of this machine, or -')
    .argument('<destination>', 'a path of this machine, CONTAINER:PATH, or -')
    .option('-a, --archive', 'keep owners')
    .option('-L, --follow-link', 'copy what a symlink in the place of the source leads to')
    .option('-q, --quiet', 'accepted for docker: nothing is said of a copy that succeeds')
    .addHelpText('after', DETAILS)
    .action(act);
}

/** As docker has it: a name, a colon and a path, unless it begins as a path does. */
function parsePlace(text: string): Place {
  const bytes = argumentBytes(text);
  const at = bytes.indexOf(':');
  if (at < 0 || bytes.startsWith('/') || bytes.startsWith('.')) return { container: undefined, path: bytes };
  return { container: bytes.slice(0, at), path: bytes.slice(at + 1) };
}

async function act(from: string, to: string, flags: Flags): Promise<void> {
  const [source, destination] = [parsePlace(from), parsePlace(to)];
  const reference = source.container ?? destination.container;
  if (reference === undefined || (source.container !== undefined && destination.container !== undefined)) {
    throw new Error(
      'one of the two, the source or the destination, must be CONTAINER:PATH, and the other of this machine',
    );
  }
  if (source.path === '' || destination.path === '') throw new Error('a path is empty: say what to copy, and where to');
  if (destination.path === '-') refuseTerminal('write an archive', undefined);
  if (source.path === '-' && isatty(0)) throw new Error('cannot read an archive from a terminal: redirect the input');
  await enterFor(reference);
  const container = new ContainerStore(storeRoot()).find(reference);
  const warnings = new Warnings();
  const root = await openContainerRoot(container, source.container === undefined ? 'write' : 'read');
  try {
    if (source.container === undefined) await copyIn(container, root, source.path, destination.path, flags, warnings);
    else await copyOut(container, root, source.path, destination.path, flags, warnings);
  } finally {
    await root.close();
  }
  warnings.lines().forEach(complain);
}

async function enterFor(reference: string): Promise<void> {
  const running = copiedProcess(new ContainerStore(storeRoot()).find(reference));
  if (running === undefined) await enterUserNamespace(true);
  else enterNamespacesOf(running);
}

function optionsOf(flags: Flags, warnings: Warnings): CopyOptions {
  const keepsOwners = flags.archive === true;
  return { followLink: flags.followLink === true, isLive: true, warnings, keepsOwners, isHarmless: false };
}

async function copyIn(
  container: Container,
  { inside, mappings }: ContainerRoot,
  from: ByteString,
  to: ByteString,
  flags: Flags,
  warnings: Warnings,
): Promise<void> {
  const target = { side: containerSide(inside, container.config.name), path: inRoot(to) };
  const owners = namesOutside(mappings);
  const options = optionsOf(flags, warnings);
  // The owners that files have here are those outside of the container already.
  const given = options.keepsOwners ? options : { ...options, owners };
  if (from !== '-') return copy({ side: HOST, path: from }, target, given);
  // The archive says whom its files belong to.
  const write = { warnings, limits: DEFAULT_LIMITS, keepsOwners: true, isHarmless: false, owners };
  return unpackInto(decompress(process.stdin), target, write);
}

async function copyOut(
  container: Container,
  { inside, mappings }: ContainerRoot,
  from: ByteString,
  to: ByteString,
  flags: Flags,
  warnings: Warnings,
): Promise<void> {
  const source = { side: containerSide(inside, container.config.name), path: inRoot(from) };
  const options = optionsOf(flags, warnings);
  if (to !== '-') {
    const target = { side: HOST, path: to };
    return copy(source, target, { ...options, isHarmless: !options.keepsOwners });
  }
  const named = { ...options, sourceOwners: namesInside(mappings) };
  return writeArchive(`copy ${toText(from)}`, undefined, (output) => writeOutput(output, archiveOf(source, named)));
}

/** A path in a container is one from its root, as in docker. */
function inRoot(path: ByteString): ByteString {
  return path.startsWith('/') ? path : `/${path}`;
}

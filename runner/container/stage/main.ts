import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { MS_PRIVATE, MS_REC, O_DIRECTORY, O_PATH } from '../../../fs/sys/constants.ts';
import { EINVAL, check, describeErrno } from '../../../fs/sys/errno.ts';
import { hasLostReader } from '../../../fs/sys/event.ts';
import { close } from '../../../fs/sys/file.ts';
import { umask } from '../../../fs/sys/metadata.ts';
import { mount } from '../../../fs/sys/mount.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWUTS,
  sethostname,
  unshare,
} from '../../../fs/sys/namespaces.ts';
import { bringLoopbackUp } from '../../../fs/sys/network.ts';
import {
  PR_SET_DUMPABLE,
  PR_SET_PDEATHSIG,
  fchdir,
  joinNewSessionKeyring,
  prctl,
  resetSignals,
} from '../../../fs/sys/process.ts';
import { RLIMIT_NOFILE, setSoftLimit } from '../../../fs/sys/resource-limits.ts';
import { EXIT, type ProcessSpec, RunError, SPEC_FD, STATUS_FD, type StageFailure, type StageSpec } from '../spec.ts';
import { type Account, findAccount, listAccount } from './account.ts';
import { execute } from './command.ts';
import { mountDev } from './devices.ts';
import { Inside } from './inside.ts';
import { mountProc, mountSys, openMountPoint } from './kernel-filesystems.ts';
import { mountPoints } from './mounting.ts';
import { CAP_SYS_CHROOT, dropPrivileges } from './privileges.ts';
import { type RootChange, changeRoot } from './root.ts';
import { prepareStandardFiles } from './standard-files.ts';
import { StageTerminal } from './terminal.ts';
import { mountTemporaries, mountVolumes, restrictRoot } from './volumes.ts';

// The container's first process before it is the command: born in the new pid namespace, it waits for its spec while
// the client mounts the union, enters the other namespaces, builds the root and becomes the command by execve. Its
// main thread alone is in those namespaces, so nothing here may hand work to Node's other threads once it has begun.

// The soft limit that programs which use select(2), or close every descriptor, are made for. Node raised its own.
const SOFT_OPEN_FILES = 1024;

function enterNamespaces(spec: StageSpec): void {
  const network = spec.network.isolated ? CLONE_NEWNET : 0;
  const flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | network;
  check(unshare(flags), 'make the namespaces of the container');
  separateMounts();
  check(sethostname(toBytes(spec.hostname)), `set the hostname to ${spec.hostname}`);
  if (spec.network.isolated) bringLoopbackUp();
}

function separateMounts(): void {
  const separated = mount('', '/', '', MS_REC | MS_PRIVATE);
  // The root of a chroot is no mount point: then each of those that can be seen.
  const all = separated === -EINVAL ? mountPoints().map((point) => mount('', point, '', MS_PRIVATE)) : [separated];
  for (const result of all) check(result, "separate the container's mounts from the host's");
}

interface Root {
  readonly account: Account;
  readonly change: RootChange;
  readonly terminal: StageTerminal | undefined;
}

function buildRoot(spec: StageSpec): Root {
  const rootfs = toBytes(spec.rootfs);
  const inside = Inside.open(rootfs);
  mountProc(inside);
  mountSys(inside);
  mountDev(inside);
  const terminal = openTerminal(inside, spec.process);
  const { readOnly, volumes } = spec.mounts;
  if (readOnly) mountTemporaries(inside, volumes);
  mountVolumes(inside, volumes);
  const { workdir, createWorkdir, user, passwdFile } = spec.process;
  if (createWorkdir) close(inside.ensureDirectory(toBytes(workdir)));
  restrictRoot(inside, readOnly);
  const account = findAccount(inside, user);
  listAccount(inside, account, passwdFile);
  close(inside.fd);
  const change = changeRoot(rootfs);
  if (change === 'chroot') warnOfChroot();
  return { account, change, terminal };
}

function openTerminal(inside: Inside, { terminal: wanted }: ProcessSpec): StageTerminal | undefined {
  if (wanted === undefined) return undefined;
  const terminal = StageTerminal.open(inside.fd, wanted.size);
  const dev = openMountPoint(inside, 'dev');
  terminal.bindConsole(dev);
  close(dev);
  return terminal;
}

function warnOfChroot(): void {
  const why = 'this process runs in a chroot, where pivot_root(2) and MS_MOVE are refused';
  writeFileSync(2, `lamina: warning: ${why}: the container's root is a plain chroot\n`);
}

function enterWorkdir(inside: Inside, workdir: string): void {
  const fd = inside.tryOpen(toBytes(workdir), O_PATH | O_DIRECTORY);
  const entered = fd < 0 ? fd : fchdir(fd);
  if (entered < 0) {
    const message = `working directory ${JSON.stringify(workdir)} of the container: ${describeErrno(entered)}`;
    throw new RunError(message, EXIT.cannotInvoke);
  }
  close(fd);
}

function becomeCommand(spec: ProcessSpec, { account, change, terminal }: Root): never {
  enterWorkdir(Inside.open('/'), spec.workdir);
  // A keyring of its own, where the kernel has keyrings at all.
  joinNewSessionKeyring();
  terminal?.take(account.uid);
  prepareStandardFiles(account.uid);
  check(setSoftLimit(RLIMIT_NOFILE, SOFT_OPEN_FILES), 'set the limit of open files');
  umask(0o022);
  // A seccomp filter belongs here: it must be installed while this process has CAP_SYS_ADMIN.
  // Who may call chroot(2) leaves a plain chroot as he likes.
  dropPrivileges(account, change === 'chroot' ? [CAP_SYS_CHROOT] : []);
  dieWithClient();
  resetSignals();
  return execute(spec.args.map(toBytes), environment(spec, account).map(toBytes));
}

function environment(spec: ProcessSpec, account: Account): readonly string[] {
  const hasHome = spec.env.some((entry) => entry.startsWith('HOME='));
  return hasHome ? spec.env : [...spec.env, `HOME=${account.home}`];
}

/**
 * The client serves the container's filesystem: the container is not to outlive it. A change of ids clears the setting,
 * so it is made again; a client that died when it was not in force has closed its end of the pipe. (getppid(2) tells
 * nothing: process 1 of a pid namespace has no parent in it.) What the command does to the setting is its own affair.
 */
function dieWithClient(): void {
  check(prctl(PR_SET_PDEATHSIG, constants.signals.SIGKILL), "tie the container to its client's life");
  if (hasLostReader(STATUS_FD)) process.exit(EXIT.ownError);
}

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  const exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  const failure: StageFailure = { message, exitCode };
  writeFileSync(STATUS_FD, JSON.stringify(failure));
  process.exit(exitCode);
}

function main(): void {
  dieWithClient();
  // No other process may look into this one, nor open its descriptors, before it is the command.
  check(prctl(PR_SET_DUMPABLE, 0), 'become undumpable');
  const text = readFileSync(SPEC_FD, 'utf8');
  // The client gave up before there was anything to run, and has said why.
  if (text === '') process.exit(EXIT.ownError);
  closeSync(SPEC_FD);
  const spec = JSON.parse(text) as StageSpec;
  enterNamespaces(spec);
  becomeCommand(spec.process, buildRoot(spec));
}

try {
  main();
} catch (error) {
  fail(error);
}

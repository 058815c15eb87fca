import { writeFileSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { close } from '../../../fs/sys/file.ts';
import { leadSession } from '../../../fs/sys/terminal.ts';
import { HANDED, takeHandedFiles } from '../handed-files.ts';
import { type ProcessSpec, type StageSpec } from '../spec.ts';
import { type Account, findAccount } from './account.ts';
import { changeProfileOnExec } from './apparmor.ts';
import { type Entered, becomeCommand } from './become-command.ts';
import { mountDev } from './devices.ts';
import { mountDevices } from './host-devices.ts';
import { Inside } from './inside.ts';
import { maskOthers, mountProc, mountSys, openMountPoint } from './kernel-filesystems.ts';
import { listAccount } from './list-account.ts';
import { enterNamespaces } from './namespaces.ts';
import type { Populate } from './populate.ts';
import { changeRoot } from './root.ts';
import { becomeRoot, holdFiles } from './own-users.ts';
import { type SharedMemory, takeSharedMemory } from './shared-memory.ts';
import { runStage, tellStatus } from './stage.ts';
import { StageTerminal } from './terminal.ts';
import { chownVolumes, mountTemporaries, mountVolumes, needsPopulation, restrictRoot } from './volumes.ts';

// The container's first process before it is the command: born in the new pid namespace, it waits for its spec while
// the client mounts the union, enters the other namespaces, builds the root and becomes the command by execve. Its
// main thread alone is in those namespaces, so nothing here may hand work to Node's other threads once it has begun.

/** @param place mount point of the root. */
function buildRoot(
  spec: StageSpec,
  place: string,
  sharedMemory: SharedMemory,
  populate: Populate | undefined,
): Entered {
  const inside = Inside.open(toBytes(spec.rootfs));
  mountProc(inside, spec.kernel.paths, spec.namespaces.foreignProcesses);
  mountSys(inside, spec.kernel, spec.cgroup.mounts);
  mountDev(inside, sharedMemory, spec.kernel.makesDevices);
  mountDevices(inside, spec.kernel.devices);
  const terminal = openTerminal(inside, spec.process);
  const { readOnly, temporaries, volumes } = spec.mounts;
  if (readOnly && temporaries) mountTemporaries(inside, volumes);
  mountVolumes(inside, volumes, populate);
  const { workdir, createWorkdir } = spec.process;
  if (createWorkdir) close(inside.ensureDirectory(toBytes(workdir)));
  maskOthers(inside, spec.kernel.paths.masked);
  restrictRoot(inside, readOnly);
  const account = atHome(findAccount(inside, spec.process, spec.security.groups.names), workdir);
  chownVolumes(volumes, account);
  listAccount(inside, account, spec.process);
  const change = changeRoot(inside.fd, toBytes(place));
  close(inside.fd);
  tellStatus({ rootChange: change });
  if (change === 'chroot') warnOfChroot();
  return { account, change, terminal };
}

/** As podman has it, who is not listed is at home where the command starts. */
function atHome(account: Account, workdir: string): Account {
  // What would end the field of /etc/passwd, or its line.
  return account.isListed || /[:\n]/.test(workdir) ? account : { ...account, home: workdir };
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

// The session of one that has a launcher is that of the shell outside; another one leads its own already.
async function becomeContainer(text: string): Promise<never> {
  const spec = JSON.parse(text) as StageSpec;
  const { process, security, mounts } = spec;
  // While all threads are in one mount namespace: a module is read by another one.
  const populate = needsPopulation(mounts.volumes) ? (await import('./populate.ts')).populate : undefined;
  if (security.apparmor !== undefined) changeProfileOnExec(security.apparmor);
  const { sharedMemory: memory } = spec.namespaces;
  if (!spec.hasOwnUsers) {
    const sharedMemory = takeSharedMemory(memory);
    leadSession();
    enterNamespaces(spec);
    return becomeCommand(process, security, buildRoot(spec, spec.rootfs, sharedMemory, populate));
  }
  enterNamespaces(spec);
  // Only now are there mounts that may be cloned.
  const sharedMemory = takeSharedMemory(memory);
  const held = holdFiles(spec);
  becomeRoot();
  leadSession();
  return becomeCommand(process, security, buildRoot(held, spec.rootfs, sharedMemory, populate));
}

// It was its starter's, in a filesystem that would stay in use.
process.chdir('/');
if (process.argv[2] === HANDED) takeHandedFiles();
void runStage(becomeContainer);

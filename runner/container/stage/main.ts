import { writeFileSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { MS_PRIVATE, MS_REC } from '../../../fs/sys/constants.ts';
import { EINVAL, check } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { mount } from '../../../fs/sys/mount.ts';
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNS,
  CLONE_NEWUTS,
  sethostname,
  unshare,
} from '../../../fs/sys/namespaces.ts';
import { type ProcessSpec, type StageSpec } from '../spec.ts';
import { findAccount, listAccount } from './account.ts';
import { changeProfileOnExec } from './apparmor.ts';
import { type Entered, becomeCommand } from './become-command.ts';
import { mountDev } from './devices.ts';
import { Inside } from './inside.ts';
import { maskOthers, mountProc, mountSys, openMountPoint } from './kernel-filesystems.ts';
import { mountPoints } from './mounting.ts';
import { prepareNetwork } from './network.ts';
import { changeRoot } from './root.ts';
import { runStage } from './stage.ts';
import { setSysctls } from './sysctls.ts';
import { StageTerminal } from './terminal.ts';
import { mountTemporaries, mountVolumes, restrictRoot } from './volumes.ts';

// The container's first process before it is the command: born in the new pid namespace, it waits for its spec while
// the client mounts the union, enters the other namespaces, builds the root and becomes the command by execve. Its
// main thread alone is in those namespaces, so nothing here may hand work to Node's other threads once it has begun.

function enterNamespaces(spec: StageSpec): void {
  const flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
  check(unshare(flags), 'make the namespaces of the container');
  separateMounts();
  check(sethostname(toBytes(spec.hostname)), `set the hostname to ${spec.hostname}`);
  if (spec.network.own) prepareNetwork();
  setSysctls(spec.kernel.sysctls);
}

function separateMounts(): void {
  const separated = mount('', '/', '', MS_REC | MS_PRIVATE);
  // The root of a chroot is no mount point: then each of those that can be seen.
  const all = separated === -EINVAL ? mountPoints().map((point) => mount('', point, '', MS_PRIVATE)) : [separated];
  for (const result of all) check(result, "separate the container's mounts from the host's");
}

function buildRoot(spec: StageSpec): Entered {
  const rootfs = toBytes(spec.rootfs);
  const inside = Inside.open(rootfs);
  mountProc(inside, spec.kernel.paths);
  mountSys(inside, spec.kernel, spec.cgroup.mounts);
  mountDev(inside);
  const terminal = openTerminal(inside, spec.process);
  const { readOnly, volumes } = spec.mounts;
  if (readOnly) mountTemporaries(inside, volumes);
  mountVolumes(inside, volumes);
  const { workdir, createWorkdir, user, passwdFile } = spec.process;
  if (createWorkdir) close(inside.ensureDirectory(toBytes(workdir)));
  maskOthers(inside, spec.kernel.paths.masked);
  restrictRoot(inside, readOnly);
  const account = findAccount(inside, user, spec.security.groups.names);
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

function becomeContainer(text: string): never {
  const spec = JSON.parse(text) as StageSpec;
  const { process, security } = spec;
  if (security.apparmor !== undefined) changeProfileOnExec(security.apparmor);
  enterNamespaces(spec);
  return becomeCommand(process, security, buildRoot(spec));
}

runStage(becomeContainer);

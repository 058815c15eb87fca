import { writeSync } from 'node:fs';
import { check } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { setns } from '../../../fs/sys/namespaces.ts';
import { chroot, fchdir } from '../../../fs/sys/process.ts';
import { leaveSharedDirectory } from '../../../fs/sys/thread.ts';
import { findAccount } from '../stage/account.ts';
import { changeProfileOnExec } from '../stage/apparmor.ts';
import { becomeCommand } from '../stage/become-command.ts';
import { Inside } from '../stage/inside.ts';
import { runStage } from '../stage/stage.ts';
import { StageTerminal } from '../stage/terminal.ts';
import { CGROUP_FD, type ExecSpec, INIT_FD, ROOT_FD } from './exec-spec.ts';

// A process that is added to a container, before it is the command: born in the container's pid namespace, it enters
// the other namespaces of the container's first process, then takes the last steps as that one did. The container runs,
// and may be hostile: this process is undumpable and has more capabilities than any in there, it resolves nothing in
// the container before it is inside, and it has no descriptor of the host that the command could keep.

function becomeAdded(text: string): never {
  const spec = JSON.parse(text) as ExecSpec;
  const { process: command, security } = spec;
  if (security.apparmor !== undefined) changeProfileOnExec(security.apparmor);
  enter(spec);
  const inside = Inside.open('/');
  const account = findAccount(inside, command, security.groups.names);
  joinGroups(spec.cgroups);
  const { terminal: wanted } = command;
  const terminal = wanted === undefined ? undefined : StageTerminal.open(inside.fd, wanted.size);
  return becomeCommand(command, security, { account, change: spec.chroot ? 'chroot' : 'pivot_root', terminal });
}

function enter({ namespaces, chroot: isChroot }: ExecSpec): void {
  check(leaveSharedDirectory(), 'leave the working directory of the other threads');
  check(setns(INIT_FD, namespaces), "enter the container's namespaces");
  if (isChroot) {
    check(fchdir(ROOT_FD), "enter the container's root");
    check(chroot('.'), "change the root to the container's");
  }
  process.chdir('/');
  close(INIT_FD);
  close(ROOT_FD);
}

// Late, since a limit of processes counts the threads of Node, too: those that it has by now are let in, new ones are not.
function joinGroups(count: number): void {
  for (let fd = CGROUP_FD; fd < CGROUP_FD + count; fd += 1) {
    try {
      writeSync(fd, '0');
    } catch (error) {
      throw new Error(`cannot enter a control group of the container: ${String(error)}`, { cause: error });
    }
    close(fd);
  }
}

void runStage(becomeAdded);

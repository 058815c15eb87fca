import { writeFileSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { CLONE_NEWTIME, CLONE_NEWUTS, sethostname, setns, unshare } from '../../../fs/sys/namespaces.ts';
import { makeNamespaces } from '../namespace-advice.ts';
import { type JoinedNamespace, type StageSpec } from '../spec.ts';
import { openNamespace } from './open-namespace.ts';
import { prepareNetwork } from './network.ts';
import { separateMounts } from './separate-mounts.ts';
import { setSysctls } from './sysctls.ts';

/** Enters the namespaces of the container, and sets in them what it is to find. */
export function enterNamespaces(spec: StageSpec): void {
  const { namespaces, hostname, network, kernel } = spec;
  makeNamespaces(namespaces.own, 'make the namespaces of the container');
  for (const joined of namespaces.joined) join(joined);
  if (namespaces.timeOffsets !== undefined) makeTime(namespaces.timeOffsets);
  separateMounts(toBytes(spec.rootfs), spec.mounts);
  const hasName = (namespaces.own & CLONE_NEWUTS) !== 0;
  if (hasName) check(sethostname(toBytes(hostname)), `set the hostname to ${hostname}`);
  if (network.own) prepareNetwork();
  setSysctls(kernel.sysctls);
}

function join(joined: JoinedNamespace): void {
  const fd = openNamespace(joined);
  check(setns(fd, joined.flag), `enter ${joined.link} of the other container`);
  close(fd);
}

/**
 * A time namespace, which the command enters by execve(2), as its children do before Linux 6.1. The kernel takes offsets
 * only until somebody is in it, and no new thread from now on.
 */
function makeTime(offsets: readonly string[]): void {
  check(unshare(CLONE_NEWTIME), 'make a time namespace for the container, which Linux has since 5.6');
  for (const offset of offsets) {
    try {
      writeFileSync('/proc/self/timens_offsets', `${offset}\n`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`cannot set the clock of the container ahead (${offset}): ${why}`, { cause: error });
    }
  }
}

import { toBytes } from '../../../fs/sys/bytes.ts';
import { attachDeviceProgram, loadDeviceProgram } from '../../../fs/sys/bpf.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { describeErrno } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { type DeviceRule } from '../options/device-rule.ts';
import { deviceProgram } from './device-program.ts';
import { writeControl } from './files.ts';
import { type GroupRecord, directoryOf, unifiedOf } from './group.ts';

const device = (major: number, minor?: number): DeviceRule => ({ type: 'c', major, minor, access: 'rwm' });

// Docker's. To make a node is to have a name for a device, not to use it.
const DEFAULT_RULES: readonly DeviceRule[] = [
  { type: 'c', access: 'm' },
  { type: 'b', access: 'm' },
  ...[3, 5, 7, 8, 9].map((minor) => device(1, minor)),
  device(5, 0),
  device(5, 1),
  device(5, 2),
  // Ends of pseudoterminals.
  device(136),
];

/**
 * Forbids a group all devices but those of every container and what the rules allow. It is a second wall: the mounts
 * of a container open no device either, but those of its /dev.
 *
 * @param given devices that the mounts open: where none can be forbidden, they need no rule, if they may be used in full.
 * @throws where that cannot be, and there are rules.
 */
export function restrictDevices(record: GroupRecord, rules: readonly DeviceRule[], given: readonly DeviceRule[]): void {
  const v1 = directoryOf(record, 'devices');
  const all = [...rules, ...given];
  const done = v1?.version === 1 ? writeRules(v1.path, all) : attachRules(record, all);
  const isPartial = given.some(({ access }) => !access.includes('r') || !access.includes('w'));
  if (done === 0 || (rules.length === 0 && !isPartial)) return;
  throw new Error(`devices of the container cannot be allowed: ${done === undefined ? MISSING : describeErrno(done)}`);
}

const MISSING = 'it has no control group that could tell';

/** 0, or the errno of what matters: outer containers may forbid some of the devices that every container has. */
function writeRules(path: string, rules: readonly DeviceRule[]): number {
  const denied = writeControl(path, 'devices.deny', 'a');
  if (denied < 0) return denied;
  for (const rule of DEFAULT_RULES) writeControl(path, 'devices.allow', textOf(rule));
  return rules.map((rule) => writeControl(path, 'devices.allow', textOf(rule))).find((status) => status < 0) ?? 0;
}

function textOf({ type, major, minor, access }: DeviceRule): string {
  return `${type} ${major ?? '*'}:${minor ?? '*'} ${access}`;
}

/** 0, a negative errno, or undefined where there is no group of version 2. */
function attachRules(record: GroupRecord, rules: readonly DeviceRule[]): number | undefined {
  const directory = unifiedOf(record);
  if (directory === undefined) return undefined;
  const program = loadDeviceProgram(deviceProgram([...DEFAULT_RULES, ...rules]));
  if (program < 0) return program;
  const group = openat(-1, toBytes(directory.path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const attached = group < 0 ? group : attachDeviceProgram(group, program);
  if (group >= 0) close(group);
  close(program);
  return attached;
}

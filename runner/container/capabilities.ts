/** Names of capabilities by their numbers, from linux/capability.h. */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const;

const PREFIX = 'CAP_';

/** `CAP_CHOWN` and so on, in the order of their numbers. */
export const CAPABILITY_NAMES: readonly string[] = NAMES.map((name) => PREFIX + name);

/** Docker's default set. */
const DEFAULT_CAPABILITIES: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SYS_CHROOT',
  'MKNOD',
  'AUDIT_WRITE',
  'SETFCAP',
].map((name) => PREFIX + name);

/** What the command line asks for: CAP_* or `ALL`. */
export interface CapabilityChoice {
  readonly privileged: boolean;
  readonly add: readonly string[];
  readonly drop: readonly string[];
}

interface CapabilitySets {
  /** The most that any process of the container can have. */
  readonly bounding: readonly string[];
  /** What a user other than root has, and passes on: no more than what was asked for by name, as in podman. */
  readonly ambient: readonly string[];
}

const ALL = 'ALL';

/** `CAP_CHOWN` of `chown`, or `ALL`; throws for what is no capability. */
export function parseCapability(text: string): string {
  const name = text.toUpperCase();
  if (name === ALL) return ALL;
  const full = name.startsWith(PREFIX) ? name : PREFIX + name;
  if (CAPABILITY_NAMES.includes(full)) return full;
  throw new Error(`${JSON.stringify(text)} is no capability: see capabilities(7)`);
}

/**
 * The capabilities of a container.
 *
 * @param available what this process has itself and so can give.
 */
export function capabilitySets(choice: CapabilityChoice, available: readonly string[]): CapabilitySets {
  const { add, drop, privileged } = choice;
  const both = add.find((name) => drop.includes(name));
  if (both !== undefined) throw new Error(`--cap-add and --cap-drop both name ${both}`);
  const missing = add.find((name) => name !== ALL && !available.includes(name));
  if (missing !== undefined) throw new Error(`cannot give ${missing} to the container: lamina does not have it itself`);
  const added = add.includes(ALL) ? available : add;
  const base = privileged || add.includes(ALL) ? available : drop.includes(ALL) ? [] : DEFAULT_CAPABILITIES;
  const wanted = new Set([...base.filter((name) => !drop.includes(name)), ...(drop.includes(ALL) ? add : added)]);
  for (const name of drop) wanted.delete(name);
  return {
    bounding: available.filter((name) => wanted.has(name)),
    ambient: available.filter((name) => added.includes(name) && wanted.has(name)),
  };
}

/** Numbers of linux/capability.h. */
export function capabilityNumbers(names: readonly string[]): number[] {
  return names.map((name) => CAPABILITY_NAMES.indexOf(name));
}

/** CAP_* of numbers that are known here. */
export function capabilityNames(numbers: readonly number[]): string[] {
  return numbers.map((number) => CAPABILITY_NAMES[number]).filter((name) => name !== undefined);
}

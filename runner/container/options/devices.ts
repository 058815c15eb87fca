import { type Stats, lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { type DeviceRule } from './device-rule.ts';
import { type DeviceOption } from './security.ts';

/** `HOST[:INSIDE][:rwm]`: a device node, or all that are in a directory. */
export function parseDevice(text: string): DeviceOption[] {
  const [source = '', second, third, ...rest] = text.split(':');
  const isAccess = second !== undefined && third === undefined && /^[rwm]{1,3}$/.test(second);
  const destination = second === undefined || isAccess || second === '' ? source : second;
  const access = (isAccess ? second : third) ?? 'rwm';
  const form = `--device ${JSON.stringify(text)} is not HOST-PATH[:PATH-INSIDE][:rwm]`;
  if (rest.length > 0 || !isAbsolute(source) || !isAbsolute(destination) || !/^[rwm]{1,3}$/.test(access))
    throw new Error(form);
  return nodesAt(source, text).map(({ path, below, stats }) => deviceOf(path, join(destination, below), access, stats));
}

interface Node {
  readonly path: string;
  /** From the directory that was named. */
  readonly below: string;
  readonly stats: Stats;
}

function nodesAt(source: string, text: string): Node[] {
  const path = resolved(source, text);
  const stats = statSync(path);
  if (isDevice(stats)) return [{ path, below: '', stats }];
  if (!stats.isDirectory()) throw new Error(`--device ${text}: ${path} is neither a device nor a directory of devices`);
  const nodes = nodesBelow(path, '');
  if (nodes.length > 0) return nodes;
  throw new Error(`--device ${text}: there is no device in ${path}`);
}

function resolved(source: string, text: string): string {
  try {
    return realpathSync(source);
  } catch (error) {
    throw new Error(`--device ${text}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function isDevice(stats: Stats): boolean {
  return stats.isCharacterDevice() || stats.isBlockDevice();
}

function nodesBelow(directory: string, below: string): Node[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    const name = join(below, entry.name);
    if (entry.isDirectory()) return nodesBelow(path, name);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats !== undefined && isDevice(stats) ? [{ path, below: name, stats }] : [];
  });
}

function deviceOf(source: string, destination: string, access: string, stats: Stats): DeviceOption {
  const type = stats.isBlockDevice() ? 'b' : 'c';
  return { source, destination, access, type, ...numbersOf(stats.rdev) };
}

// As the kernel encodes dev_t: 12 bits of the major between 8 and 12 of the minor.
function numbersOf(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

// What a container has of its own below /dev.
const OWN = /^\/dev\/(?:null|zero|full|u?random|tty|console|ptmx|fd|pts|shm|mqueue)(?:\/|$)/;

/** All devices of the host that a privileged container is given. */
export function hostDevices(): DeviceOption[] {
  return nodesBelow('/dev', '')
    .filter(({ path }) => !OWN.test(path))
    .map(({ path, stats }) => deviceOf(path, path, 'rwm', stats));
}

/** What a container's control group has to allow for its devices. */
export function deviceRules(devices: readonly DeviceOption[]): DeviceRule[] {
  return devices.map(({ type, major, minor, access }) => ({ type, major, minor, access }));
}

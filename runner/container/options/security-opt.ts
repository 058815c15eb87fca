import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { type SeccompChoice, type SecurityOptions } from './security.ts';

type Settings = Pick<SecurityOptions, 'seccomp' | 'noNewPrivileges' | 'apparmor' | 'mask' | 'unmask'>;
type Reader = (value: string, given: boolean) => Partial<Settings>;

const READERS: Readonly<Record<string, Reader>> = {
  seccomp: (value) => ({ seccomp: readSeccomp(value) }),
  'no-new-privileges': (value, given) => ({ noNewPrivileges: given ? readBoolean(value) : true }),
  apparmor: (value) => ({ apparmor: readName(value) }),
  label: readLabel,
  mask: (value) => ({ mask: readPaths(value) }),
  unmask: (value) => ({ unmask: value.toUpperCase() === 'ALL' ? ['ALL'] : readPaths(value) }),
  systempaths: readSystemPaths,
};

/** What `--security-opt` says, over what holds without; docker's `NAME=VALUE` and its older `NAME:VALUE`. */
export function readSecurityOptions(texts: readonly string[], ordinary: Settings): Settings {
  let settings = ordinary;
  for (const text of texts) {
    const [, name = '', separator, value = ''] = /^([a-z-]+)(?:([=:])(.*))?$/s.exec(text) ?? [];
    const reader = READERS[name];
    if (reader === undefined) throw new Error(`--security-opt ${JSON.stringify(text)} is not one of ${known()}`);
    const read = reader(value, separator !== undefined);
    settings = {
      ...settings,
      ...read,
      mask: [...settings.mask, ...(read.mask ?? [])],
      unmask: [...settings.unmask, ...(read.unmask ?? [])],
    };
  }
  return settings;
}

function known(): string {
  return (
    'seccomp=FILE|unconfined, no-new-privileges[=true|false], apparmor=PROFILE|unconfined, label=disable, ' +
    'mask=PATH[:PATH...], unmask=PATH[:PATH...]|ALL, systempaths=unconfined'
  );
}

function readSeccomp(value: string): SeccompChoice {
  if (value === 'unconfined') return 'unconfined';
  // Docker's name for its own.
  if (value === 'builtin') return 'default';
  if (value === '') throw new Error('--security-opt seccomp= wants the file of a profile, or unconfined');
  try {
    return { origin: value, text: readFileSync(value, 'utf8') };
  } catch (error) {
    throw new Error(`cannot read the seccomp profile ${value}: ${String(error)}`, { cause: error });
  }
}

function readBoolean(value: string): boolean {
  if (['true', '1', 't'].includes(value.toLowerCase())) return true;
  if (['false', '0', 'f'].includes(value.toLowerCase())) return false;
  throw new Error(`--security-opt no-new-privileges=${value}: true or false`);
}

function readName(value: string): string {
  if (/^[^\s\0]+$/.test(value)) return value;
  throw new Error('--security-opt apparmor= wants the name of a profile, or unconfined');
}

function readLabel(value: string): Partial<Settings> {
  // Without SELinux no label has any effect, in docker and podman too.
  if (value === 'disable' || !existsSync('/sys/fs/selinux/enforce')) return {};
  throw new Error(`--security-opt label=${value}: SELinux labels are not supported; label=disable is`);
}

function readPaths(value: string): string[] {
  return value.split(':').map((path) => {
    if (!isAbsolute(path)) throw new Error(`--security-opt: ${JSON.stringify(path)} is not an absolute path`);
    return normalize(path).replace(/(.)\/+$/, '$1');
  });
}

function readSystemPaths(value: string): Partial<Settings> {
  if (value === 'unconfined') return { unmask: ['ALL'] };
  throw new Error(`--security-opt systempaths=${value}: unconfined is the only value`);
}

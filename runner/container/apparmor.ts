import { readFileSync } from 'node:fs';

/** What there is of AppArmor on this machine. */
export interface AppArmorHost {
  readonly enabled: boolean;
  /** Names of the profiles that are loaded, where they can be read. */
  readonly profiles: readonly string[];
}

// What docker, and podman with its version behind it, load for their containers.
const DEFAULT = /^(?:docker-default|containers-default-[0-9.]+)$/;

export function appArmorHost(): AppArmorHost {
  const enabled = read('/sys/module/apparmor/parameters/enabled').trim() === 'Y';
  const lines = enabled ? read('/sys/kernel/security/apparmor/profiles').split('\n') : [];
  return { enabled, profiles: lines.map((line) => line.replace(/ \([a-z]+\)$/, '')).filter((name) => name !== '') };
}

// Absent, or for root alone.
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * The profile that a container's processes are put under; undefined for that of their caller.
 *
 * @param choice a profile's name or `unconfined`; undefined where none was asked for.
 */
export function appArmorProfile(
  choice: string | undefined,
  privileged: boolean,
  { enabled, profiles }: AppArmorHost,
): string | undefined {
  if (enabled) return choice ?? (privileged ? undefined : profiles.find((name) => DEFAULT.test(name)));
  if (choice === undefined || choice === 'unconfined') return undefined;
  throw new Error(`--security-opt apparmor=${choice}: the kernel of this machine has no AppArmor, or has it disabled`);
}

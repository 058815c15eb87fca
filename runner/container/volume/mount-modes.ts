import { type MountAttributes, isPropagation } from './mount-request.ts';

/** What the modes behind `-v SOURCE:DESTINATION:` say, those of volumes included. */
export interface Modes extends MountAttributes {
  readonly noCopy?: true;
  readonly overlay?: true;
}

/** Options that change nothing here: labels of SELinux, which the host has not or its policy sets, and defaults. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'rw',
  'z',
  'Z',
  'exec',
  'suid',
  'nodev',
  'copy',
  'rbind',
  'consistent',
  'cached',
  'delegated',
]);

const CHANGES: Readonly<Record<string, Partial<Modes>>> = {
  ro: { readOnly: true },
  noexec: { noExec: true },
  nosuid: { noSuid: true },
  dev: { dev: true },
  bind: { nonRecursive: true },
  nocopy: { noCopy: true },
  U: { chown: true },
  O: { overlay: true },
};

// Of which one may be given.
const OPPOSITES: readonly (readonly string[])[] = [
  ['ro', 'rw'],
  ['exec', 'noexec'],
  ['suid', 'nosuid'],
  ['dev', 'nodev'],
  ['copy', 'nocopy'],
  ['bind', 'rbind'],
  ['z', 'Z'],
];

/**
 * Reads docker's and podman's modes, parted by commas.
 *
 * @throws where one is unknown, or two say opposite things.
 */
export function parseModes(text: string): Modes {
  const names = text === '' ? [] : text.split(',');
  for (const opposite of OPPOSITES) {
    const given = names.filter((name) => opposite.includes(name));
    if (new Set(given).size > 1) throw new Error(`modes ${given.join(' and ')} say opposite things`);
  }
  let modes: Modes = { readOnly: false };
  for (const name of names) {
    if (isPropagation(name)) {
      if (modes.propagation !== undefined)
        throw new Error(`modes ${modes.propagation} and ${name} say opposite things`);
      modes = { ...modes, propagation: name };
    } else if (!WITHOUT_EFFECT.has(name)) modes = { ...modes, ...changeOf(name) };
  }
  return modes;
}

function changeOf(name: string): Partial<Modes> {
  const change = Object.hasOwn(CHANGES, name) ? CHANGES[name] : undefined;
  if (change !== undefined) return change;
  const known = [...Object.keys(CHANGES), ...WITHOUT_EFFECT, 'private', 'slave', 'shared', 'rprivate', 'rslave'];
  throw new Error(`mode ${JSON.stringify(name)} is none of ${known.join(', ')}, rshared`);
}

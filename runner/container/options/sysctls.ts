/** A kernel parameter of the container's namespaces. */
export interface Sysctl {
  /** Below /proc/sys. */
  readonly path: string;
  readonly value: string;
}

/** Which of the container's namespaces parameters belong to. */
export type SysctlNamespace = 'ipc' | 'network' | 'uts';

const IPC = ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'];

/** `NAME=VALUE`, with dots or slashes, as sysctl(8) has it; the namespaced ones alone: others are the host's. */
export function parseSysctl(text: string): Sysctl {
  const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === '') throw new Error(`--sysctl ${JSON.stringify(text)} is not NAME=VALUE`);
  const path = pathOf(name);
  if (namespaceOf(path) === undefined) {
    throw new Error(`--sysctl ${name}: it is not of a namespace, and would be set for the whole host`);
  }
  return { path, value };
}

// A dot in a name that has slashes, or a slash in one that has dots, is part of a component: of an interface's name.
function pathOf(name: string): string {
  const first = /[./]/.exec(name)?.[0] ?? '.';
  const swapped: Readonly<Record<string, string>> = { '.': '/', '/': '.' };
  const path = first === '/' ? name : name.replace(/[./]/g, (separator) => swapped[separator] ?? separator);
  const isPath = path.split('/').every((component) => /^[\w.:@-]+$/.test(component) && !/^\.\.?$/.test(component));
  if (isPath) return path;
  throw new Error(`--sysctl ${JSON.stringify(name)} is not the name of a kernel parameter`);
}

/** Undefined where a parameter is the whole host's. */
export function namespaceOf(path: string): SysctlNamespace | undefined {
  if (path.startsWith('net/')) return 'network';
  if (path.startsWith('fs/mqueue/') || IPC.some((name) => path === `kernel/${name}`)) return 'ipc';
  return path === 'kernel/domainname' ? 'uts' : undefined;
}

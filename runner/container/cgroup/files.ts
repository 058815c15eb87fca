import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, write, writeSync } from 'node:fs';
import { pathIn } from '../../../fs/sys/path-in.ts';

/** Content of a group's file without the newline at its end; undefined where it cannot be read. */
export function readControl(directory: string, file: string): string | undefined {
  try {
    return readFileSync(pathIn(directory, file), 'latin1').trimEnd();
  } catch {
    return undefined;
  }
}

/** Words of a group's file. */
export function readWords(directory: string, file: string): string[] {
  return (readControl(directory, file) ?? '').split(/\s+/).filter((word) => word !== '');
}

/** Lines of a group's file that are a name and a number, such as those of memory.stat. */
export function readTable(directory: string, file: string): ReadonlyMap<string, number> {
  const lines = (readControl(directory, file) ?? '').split('\n').map((line) => line.split(/\s+/));
  return new Map(lines.flatMap(([name, value]) => (value === undefined ? [] : [[name ?? '', Number(value)]])));
}

/** Processes of a group, those that our pid namespace does not show left out. */
export function processesIn(directory: string): number[] {
  return readWords(directory, 'cgroup.procs')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Answers 0, or a negative errno. A file that is not there is not made: the kernel makes them. */
export function writeControl(directory: string, file: string, value: string): number {
  return errnoOf(() => {
    const fd = openSync(pathIn(directory, file), 'r+');
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
  });
}

/** As `writeControl`, for what may keep the caller waiting: to move a process, the kernel waits for a grace period of RCU. */
export async function writeControlAsync(directory: string, file: string, value: string): Promise<number> {
  let fd = -1;
  const opened = errnoOf(() => (fd = openSync(pathIn(directory, file), 'r+')));
  if (opened < 0) return opened;
  const written = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    write(fd, value, (error) => resolve(error));
  });
  closeSync(fd);
  if (written === null) return 0;
  if (written.errno === undefined) throw written;
  return written.errno;
}

export function makeGroup(path: string): number {
  return errnoOf(() => mkdirSync(path, 0o755));
}

export function removeGroup(path: string): number {
  return errnoOf(() => rmdirSync(path));
}

function errnoOf(call: () => void): number {
  try {
    call();
    return 0;
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    return errno;
  }
}

import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { findProgram, lookForProgram } from '../container/program.ts';

/** A program of this machine. */
export interface HostProgram {
  readonly name: string;
  /** Its file, symlinks followed. */
  readonly path: string;
}

/** Programs and the libraries that the kernel and the loader need to start them, by the paths they are looked up at. */
export interface ProgramSet {
  readonly programs: readonly HostProgram[];
  readonly libraries: readonly string[];
}

// Whatever of this the machine has; a shell it must have.
const NAMES =
  'cat chgrp chmod chown cp date dd df du echo env false head id ln ls mkdir mkfifo mknod mv printf pwd readlink realpath rm rmdir sleep sort stat sync tail test touch tr true truncate uname wc'.split(
    ' ',
  );

export function findPrograms(): ProgramSet {
  const shell = { name: 'sh', path: realpathSync(findProgram('sh', 'dash')) };
  const others = NAMES.flatMap((name) => {
    const path = lookForProgram(name);
    return path === undefined ? [] : [{ name, path: realpathSync(path) }];
  });
  const programs = [shell, ...others];
  return { programs, libraries: librariesOf([...new Set(programs.map(({ path }) => path))]) };
}

/** What ldd(1) lists, for glibc and musl: `libc.so.6 => /lib/.../libc.so.6 (0x...)` and `/lib64/ld-linux... (0x...)`. */
function librariesOf(files: readonly string[]): string[] {
  const { stdout, error } = spawnSync(findProgram('ldd', 'libc-bin'), files, { encoding: 'utf8' });
  if (error !== undefined) throw new Error(`cannot list the libraries of the shell: ${error.message}`);
  const paths = [...stdout.matchAll(/(?:^|\s)(\/[^\s:]+) \(0x/gm)].map((match) => match[1] ?? '');
  return [...new Set(paths)].sort();
}

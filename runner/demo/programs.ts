import { realpathSync } from 'node:fs';
import { execa } from 'execa';
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

export async function findPrograms(): Promise<ProgramSet> {
  const shell = { name: 'sh', path: realpathSync(findProgram('sh', 'dash')) };
  const others = NAMES.flatMap((name) => {
    const path = lookForProgram(name);
    return path === undefined ? [] : [{ name, path: realpathSync(path) }];
  });
  const programs = [shell, ...others];
  return { programs, libraries: await librariesOf([...new Set(programs.map(({ path }) => path))]) };
}

/** What ldd(1) lists, for glibc and musl: `libc.so.6 => /lib/.../libc.so.6 (0x...)` and `/lib64/ld-linux... (0x...)`. */
async function librariesOf(files: readonly string[]): Promise<string[]> {
  // It ends with 1 where one of them is linked statically: what counts is what it lists.
  const { stdout } = await execa(findProgram('ldd', 'libc-bin'), files, { reject: false, stderr: 'ignore' });
  const paths = [...stdout.matchAll(/(?:^|\s)(\/[^\s:]+) \(0x/gm)].map((match) => match[1] ?? '');
  return [...new Set(paths)].sort();
}

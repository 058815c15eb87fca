import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libseccompVersion } from '../../../fs/sys/libseccomp.ts';
import { compileFilter } from './compile.ts';
import { type SeccompPolicy } from './policy.ts';
import { removeFile } from '../../image/remove-file.ts';

// Compiling docker's profile takes longer than all else that the client does for a container: a filter is kept by what
// it depends on. It is written aside and renamed, without a sync: one that a power cut has spoilt is known by its digest.

/** To be raised with a change of what a policy compiles to. */
const FORMAT = 1;
const DIGEST_BYTES = 32;

/**
 * The filter of a policy, from the directory of those that were compiled before.
 *
 * @param directory made, of this user alone, where it is missing.
 */
export function cachedFilter(policy: SeccompPolicy, directory: string): Buffer {
  const path = join(directory, keyOf(policy));
  const kept = readKept(path);
  if (kept !== undefined) return kept;
  const program = compileFilter(policy);
  keep(directory, path, program);
  return program;
}

function keyOf(policy: SeccompPolicy): string {
  const all = { format: FORMAT, machine: process.arch, library: libseccompVersion(), policy };
  const text = JSON.stringify(all, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
  return `${createHash('sha256').update(text).digest('hex')}.bpf`;
}

function digest(program: Uint8Array): Buffer {
  return createHash('sha256').update(program).digest();
}

function readKept(path: string): Buffer | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  const program = bytes.subarray(DIGEST_BYTES);
  const isWhole = program.length > 0 && digest(program).equals(bytes.subarray(0, DIGEST_BYTES));
  return isWhole ? program : undefined;
}

function keep(directory: string, path: string, program: Buffer): void {
  const aside = `${path}.${process.pid}`;
  try {
    if (!existsSync(directory)) mkdirSync(directory, { mode: 0o700 });
    writeFileSync(aside, Buffer.concat([digest(program), program]), { mode: 0o600 });
    renameSync(aside, path);
  } catch {
    // A full disk or a read-only store costs the next start its time, and nothing else.
    removeFile(aside);
  }
}

import { type OverlayOptions } from '../overlay/options.ts';
import { refuseOverlap } from '../overlay/overlap.ts';
import { toText } from '../sys/bytes.ts';
import { describeErrno } from '../sys/errno.ts';
import { Check } from './check.ts';
import { findUser } from './in-use.ts';
import { type FsckOptions } from './options.ts';
import { type Finding, type Problem, createProblem } from './problem.ts';
import { LayerLock } from './layer-lock.ts';

/** What a check has come to. */
export interface FsckReport {
  readonly mended: readonly Finding[];
  /** What is wrong still. */
  readonly left: readonly Finding[];
  /** What could not be read or mended, in a line each. */
  readonly failures: readonly string[];
  /** What uses the upper while it is checked, in words. */
  readonly usedBy: string | undefined;
  readonly directories: number;
  readonly files: number;
  readonly indexEntries: number;
}

/** A repair may bring to light what another problem hid. */
const ROUNDS = 4;

/**
 * Checks an upper and its workdir against the lower layers; where asked, mends it. Nothing is changed otherwise.
 *
 * @param usedBy what is known to use the upper.
 * @throws Error in one line, where a layer cannot be opened, or where something in use would be mended.
 */
export function fsck(options: FsckOptions, usedBy?: string): FsckReport {
  const { overlay, repair = false } = options;
  const { upper, work } = overlay;
  if (repair && upper !== undefined && work === undefined) {
    throw new Error(
      'cannot repair an upper without its workdir, by which a mount tells that it is in use: --workdir DIR',
    );
  }
  const locks: LayerLock[] = [];
  try {
    if (upper !== undefined) locks.push(new LayerLock('upperdir', upper, repair));
    if (work !== undefined) locks.push(new LayerLock('workdir', work, repair));
    const holder = locks.find(({ heldBy }) => heldBy !== undefined)?.heldBy;
    const user = usedBy ?? holder ?? (upper === undefined ? undefined : findUser(upper));
    if (repair && user !== undefined) {
      throw new Error(`cannot repair ${toText(upper ?? '')} while it is in use: ${user}`);
    }
    return checkInRounds(options, user);
  } finally {
    for (const lock of locks) lock.release();
  }
}

function checkInRounds(options: FsckOptions, usedBy: string | undefined): FsckReport {
  const mended: Finding[] = [];
  const failures: string[] = [];
  for (let round = 1; ; round++) {
    const check = Check.run(options);
    const done = options.repair === true && round < ROUNDS ? mend(check, failures) : [];
    check.close();
    mended.push(...done);
    if (done.length > 0) continue;
    const { directories, files, indexEntries } = check;
    const left = [...overlaps(options.overlay), ...check.problems].map(({ finding }) => finding);
    const all = [...new Set([...failures, ...check.failures])];
    return { mended, left, failures: all, usedBy, directories, files, indexEntries };
  }
}

function overlaps(overlay: OverlayOptions): Problem[] {
  try {
    refuseOverlap(overlay);
    return [];
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return [createProblem('layers-overlap', 'upper', '/', problem, 'give other directories')];
  }
}

/** Mends what can be mended, and brings it to the disk. */
function mend(check: Check, failures: string[]): Finding[] {
  const mended: Finding[] = [];
  for (const { finding, repair } of check.problems) {
    if (repair === undefined) continue;
    const done = repair.act();
    if (done === 0) mended.push(finding);
    else
      failures.push(`cannot mend ${finding.layer} ${toText(finding.path)} (${finding.kind}): ${describeErrno(done)}`);
  }
  if (mended.length > 0) check.sync();
  return mended;
}

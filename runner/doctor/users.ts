import { mapperObstacle } from '../container/id-mappers.ts';
import { findProgram, lookForProgram } from '../container/program.ts';
import { readSubordinateIds } from '../container/subordinate-ids.ts';
import { userNamespaceAdvice } from '../container/userns.ts';
import { errnoName } from '../../fs/sys/errno.ts';
import { type Check, no, partly, yes } from './check.ts';
import { type Trial } from './trial.ts';

/** @param trial what could be tried in namespaces, or why there are none. */
export function checkNamespaces(trial: Trial | string, isRootless: boolean): Check {
  const name = isRootless ? 'user namespaces' : 'mount namespaces';
  const absent = ['unshare', 'nsenter'].find((program) => lookForProgram(program) === undefined);
  if (absent !== undefined) return no(name, `${absent} is not installed`, 'as root: apt-get install util-linux');
  if (typeof trial === 'string') return no(name, trial, userNamespaceAdvice());
  if (trial.tmpfs === 0) return yes(name, 'can be made, and mounted in');
  return no(name, `can be made, but mounting in them is refused (${errnoName(-trial.tmpfs)})`, userNamespaceAdvice());
}

export function checkIds(isRootless: boolean): Check {
  const name = 'subordinate ids';
  if (!isRootless) return yes(name, 'not needed: root has all ids');
  const { users, groups, missing, remedy } = readSubordinateIds();
  if (missing !== undefined) return partly(name, missing, remedy);
  const obstacle = ['newuidmap', 'newgidmap']
    .map((program) => mapperObstacle(findProgram(program, 'uidmap')))
    .find((lack) => lack !== undefined);
  if (obstacle !== undefined) return no(name, obstacle.reason, obstacle.remedy);
  const count = (ranges: typeof users): number => ranges.reduce((sum, range) => sum + range.count, 0);
  return yes(name, `${count(users)} users and ${count(groups)} groups beside your own`);
}

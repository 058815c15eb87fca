import { readSubordinateIds } from '../container/subordinate-ids.ts';
import { userNamespaceAdvice } from '../container/userns.ts';
import { errnoName } from '../../fs/sys/errno.ts';
import { type Check, no, partly, yes } from './check.ts';
import { type Trial } from './trial.ts';

/** @param trial what could be tried in namespaces, or why there are none. */
export function checkNamespaces(trial: Trial | string, isRootless: boolean): Check {
  const name = isRootless ? 'user namespaces' : 'mount namespaces';
  if (typeof trial === 'string') return no(name, trial, userNamespaceAdvice());
  if (trial.tmpfs === 0) return yes(name, 'can be made, and mounted in');
  return no(name, `can be made, but mounting in them is refused (${errnoName(-trial.tmpfs)})`, userNamespaceAdvice());
}

export function checkIds(isRootless: boolean): Check {
  const name = 'subordinate ids';
  if (!isRootless) return yes(name, 'not needed: root has all ids');
  const { users, groups, missing } = readSubordinateIds();
  if (missing === undefined) {
    const count = (ranges: typeof users): number => ranges.reduce((sum, range) => sum + range.count, 0);
    return yes(name, `${count(users)} users and ${count(groups)} groups beside your own`);
  }
  return partly(name, missing, remedyOf(missing));
}

function remedyOf(missing: string): string {
  if (missing.includes('not installed')) return 'apt-get install uidmap';
  return 'as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER';
}

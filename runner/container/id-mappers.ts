import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { SELF, getxattr } from '../../fs/sys/xattr.ts';
import { type Lack } from './subordinate-ids.ts';

const S_ISUID = 0o4000;

/** Why newuidmap or newgidmap, at `path`, has not the rights to map other ids than its caller's; undefined where it has. */
export function mapperObstacle(path: string): Lack | undefined {
  if (/^NoNewPrivs:\s*1$/m.test(readFileSync('/proc/self/status', 'latin1'))) {
    const reason = `${path} gets no rights from its file, since this process has no_new_privs`;
    return { reason, remedy: 'start lamina without it (docker: leave out --security-opt no-new-privileges)' };
  }
  const { mode, uid } = statSync(path);
  if (((mode & S_ISUID) !== 0 && uid === 0) || hasFileCapabilities(path)) return undefined;
  return { reason: `${path} is not set-uid root`, remedy: `as root: chown root ${path} && chmod u+s ${path}` };
}

function hasFileCapabilities(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return getxattr(fd, SELF, 'security.capability', 0, 0) > 0;
  } finally {
    closeSync(fd);
  }
}

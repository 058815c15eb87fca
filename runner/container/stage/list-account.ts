import { writeFileSync } from 'node:fs';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_PATH } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { MOUNT_ATTR } from '../../../fs/sys/mount-attributes.ts';
import { type ProcessSpec } from '../spec.ts';
import { type Account, checkTable, parseGroups, parsePasswd, readTable } from './account.ts';
import { type Inside } from './inside.ts';
import { bind, restrictMount } from './mounting.ts';

/**
 * Gives an account that the container does not know a line in its /etc/passwd, as podman does: programs that ask who
 * they are get an answer. The container's own file stays as it is; one with the line is bound over it. A caller who is
 * known inside by his own ids gets one, too, and a line in /etc/group.
 */
export function listAccount(inside: Inside, account: Account, spec: ProcessSpec): void {
  if (account.isListed && spec.kept === undefined) return;
  addLines(inside, '/etc/passwd', spec.passwdFile, (text) => passwdLines(text, account, spec));
  if (spec.kept === undefined) return;
  addLines(inside, '/etc/group', spec.groupFile, (text) => groupLines(text, account, spec));
}

function passwdLines(text: string, { uid, gid, home, isListed }: Account, { kept, workdir }: ProcessSpec): string[] {
  const lines: string[] = [];
  const listed = parsePasswd(text);
  const isKept = kept?.name !== undefined && !listed.some((line) => line.uid === kept.uid);
  if (isKept) {
    const name = listed.some((line) => line.name === kept.name) ? String(kept.uid) : kept.name;
    lines.push(`${name}:*:${kept.uid}:${kept.gid}::${kept.home ?? workdir}:/bin/sh`);
  }
  if (!isListed) lines.push(`${uid}:*:${uid}:${gid}:container user:${home}:/bin/sh`);
  return lines;
}

function groupLines(text: string, { uid, gid }: Account, { kept }: ProcessSpec): string[] {
  const lines: string[] = [];
  const listed = new Set(parseGroups(text).map((line) => line.gid));
  if (kept?.name !== undefined && !listed.has(kept.gid)) {
    const isTaken = parseGroups(text).some(({ name }) => name === kept.name);
    lines.push(`${isTaken ? kept.gid : kept.name}:x:${kept.gid}:${kept.name}`);
    listed.add(kept.gid);
  }
  if (!listed.has(gid)) lines.push(`${gid}:x:${gid}:${uid}`);
  return lines;
}

/** @param copy where to write the file that is bound over the container's own. */
function addLines(inside: Inside, path: string, copy: string, linesOf: (text: string) => readonly string[]): void {
  const target = inside.tryOpen(path, O_PATH);
  if (target < 0) return;
  checkTable(target, path);
  const text = readTable(inside, path);
  const lines = linesOf(text);
  if (lines.length > 0) {
    const separator = text === '' || text.endsWith('\n') ? '' : '\n';
    writeFileSync(copy, `${text}${separator}${lines.join('\n')}\n`, { mode: 0o644 });
    const source = check(openat(-1, toBytes(copy), O_PATH | O_CLOEXEC), `open ${copy}`);
    bind(source, target, false, `an ${path} with a line for the user`);
    close(source);
    const bound = inside.open(path, O_PATH);
    restrictMount(bound, MOUNT_ATTR.noDev, path);
    close(bound);
  }
  close(target);
}

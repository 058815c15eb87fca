import fc from 'fast-check';

import { type ArchiveEntry } from './archives.ts';

// Few names, so that they meet: entries of one name replace each other, lie below each other, lead through each other. What
// ends an archive is rare, or no archive would come far.
const component = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom('a', 'b', 'c', 'link', 'x') },
  { weight: 5, arbitrary: fc.constantFrom('.', '', '\xff\xfe', 'n'.repeat(255), 'é') },
  {
    weight: 10,
    arbitrary: fc.constantFrom('.wh.a', '.wh.b', '.wh.c', '.wh.link', '.wh..wh..opq', '.wh..wh.plnk', '.wh. '),
  },
  { weight: 1, arbitrary: fc.constantFrom('..', '.wh.', '.wh..', '.wh...', 'n'.repeat(256), 'a\0b') },
);

/** @param outside absolute path of what must never change: absolute names are the layer's own. */
export function evilEntries(outside: string): fc.Arbitrary<ArchiveEntry[]> {
  const path = fc.oneof(
    { weight: 30, arbitrary: fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')) },
    { weight: 2, arbitrary: fc.constantFrom('./', '/', '.', `${outside}/canary`, '/a', `${'d/'.repeat(200)}f`) },
    { weight: 1, arbitrary: fc.constantFrom('../outside/canary', 'a/../../outside/canary', `${'d/'.repeat(300)}f`) },
  );
  const linkname = fc.oneof(
    { weight: 10, arbitrary: path },
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'a/x', 'c/d', './b', '/a', '../outside', outside, '..', '/') },
  );
  const pax = fc.oneof(
    { weight: 20, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: path.filter((name) => name !== '').map((name) => ({ path: name })) },
    { weight: 2, arbitrary: linkname.filter((name) => name !== '').map((name) => ({ linkpath: name })) },
    { weight: 2, arbitrary: fc.constant({ 'SCHILY.xattr.user.note': 'yes' }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        { 'SCHILY.xattr.trusted.overlay.opaque': 'y' },
        { 'SCHILY.xattr.trusted.overlay.overlay.redirect': '/' },
        { 'SCHILY.xattr.user.overlay.plain': 'y' },
        { 'SCHILY.xattr.user.fuseoverlayfs.origin': '/etc' },
        { comment: outside },
      ),
    },
  );
  const entry = fc.record({
    name: path,
    type: fc.constantFrom('0', '0', '0', '1', '1', '2', '2', '3', '4', '5', '5', '5', '6'),
    linkname,
    mode: fc.constantFrom(0, 0o644, 0o755, 0o4755, 0o2070, 0o1777),
    uid: fc.constantFrom(0, 0, 7, 1000),
    gid: fc.constantFrom(0, 0, 8, 1001),
    mtime: fc.constantFrom(0, 1, 1_000_000_000, 2 ** 31),
    data: fc.constantFrom('', 'data', 'x'.repeat(513)),
    major: fc.constantFrom(0, 1, 1, 1),
    minor: fc.constantFrom(0, 3),
    pax,
  });
  return fc.array(entry.map(plausible), { maxLength: 14 });
}

// Data of what is no file is refused as ambiguous whatever else it is, and an empty PAX path is none.
function plausible({ data, pax, ...entry }: ArchiveEntry & { readonly name: string }): ArchiveEntry {
  const { path, linkpath } = pax ?? {};
  const kept = {
    ...pax,
    ...(path === undefined && needsPax(entry.name) ? { path: entry.name } : {}),
    ...(linkpath === undefined && needsPax(entry.linkname ?? '') ? { linkpath: entry.linkname ?? '' } : {}),
  };
  const isFile = (entry.type ?? '0') === '0' && !(kept.path ?? entry.name).endsWith('/') && !entry.name.endsWith('/');
  return { ...entry, ...(isFile ? { data: data ?? '' } : {}), pax: kept };
}

/** A header's field ends at a NUL, and is short. */
function needsPax(name: string): boolean {
  return name.length > 100 || name.includes('\0');
}

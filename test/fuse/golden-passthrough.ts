import { ATTR, ATTR_OUT, CALLER, ENTRY, fillEntry, type Golden } from './golden.ts';
import { text, u32, u64 } from './fake.ts';
import { expect } from 'vitest';

const OPENED = { handle: 9, keepCache: false, directIo: false };

/** A `fuse_entry_out` whose attributes last no time. */
function withoutLife(entry: Buffer): Buffer {
  const copy = Buffer.from(entry);
  copy.fill(0, 24, 32);
  copy.fill(0, 36, 40);
  return copy;
}

/** What passthrough adds to requests. */
export const PASSTHROUGH_GOLDEN: readonly Golden[] = [
  {
    name: 'GETATTR',
    what: 'of a file that changes without a request: the kernel must not keep them',
    body: [u32(0, 0), u64(0)],
    answers: { ...fillEntry, attributesLast: () => false },
    calls: [['getattr', 3, -1]],
    payload: Buffer.concat([u64(0), u32(0, 0), ATTR]),
  },
  {
    name: 'SETATTR',
    what: 'nothing, before a write that the kernel does itself: privileges cleared',
    body: [u32(0x40, 0), u64(77, 0, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 0, 0, 0)],
    answers: fillEntry,
    calls: [['setattr', CALLER, 3, 77, expect.objectContaining({ valid: 32 })]],
    payload: ATTR_OUT,
  },
  {
    name: 'OPEN',
    what: 'with a file that the kernel reads and writes by itself',
    body: [u32(0o2, 0)],
    answers: { open: (_node, _flags, opened) => (Object.assign(opened, { ...OPENED, backing: 0x102 }), 0) },
    calls: [['open', 3, 0o2]],
    // NOFLUSH and PASSTHROUGH.
    payload: Buffer.concat([u64(9), u32(0xa0, 0x102)]),
  },
  {
    name: 'OPEN',
    what: 'with a file of which the kernel has only mappings by itself',
    body: [u32(0o2002, 0)],
    answers: {
      open: (_node, _flags, opened) => (Object.assign(opened, { ...OPENED, directIo: true, backing: 7 }), 0),
    },
    calls: [['open', 3, 0o2002]],
    payload: Buffer.concat([u64(9), u32(0xa1, 7)]),
  },
  {
    name: 'CREATE',
    what: 'of a file that the kernel reads and writes by itself, and whose attributes it must not keep',
    body: [u32(0o302, 0o100666, 0o22, 0), text('f')],
    answers: {
      create: (_caller, parent, name, _mode, _flags, entry, opened) => {
        Object.assign(opened, { ...OPENED, backing: 0x102 });
        const found = fillEntry.lookup?.(parent, name, entry) ?? 0;
        entry.attributesLast = false;
        return found;
      },
    },
    calls: [['create', { ...CALLER, umask: 0o22 }, 3, 'f', 0o100666, 0o2]],
    payload: Buffer.concat([withoutLife(ENTRY), u64(9), u32(0xa0, 0x102)]),
  },
];

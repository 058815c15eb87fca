import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DetachFilter, parseDetachKeys } from '../../runner/container/terminal/detach-keys.ts';

const keys = parseDetachKeys('ctrl-p,ctrl-q');

/** What passes of several reads, and whether the keys were among them. */
function type(filter: DetachFilter, ...reads: string[]): { passed: string; detached: boolean } {
  let passed = '';
  for (const read of reads) {
    const { bytes, detached } = filter.feed(Buffer.from(read, 'latin1'));
    passed += bytes.toString('latin1');
    if (detached) return { passed, detached };
  }
  return { passed, detached: false };
}

describe('detach keys', () => {
  test('parseDetachKeys reads characters and control keys as docker does, and an empty text as never', () => {
    expect([...keys]).toEqual([16, 17]);
    expect([...parseDetachKeys('ctrl-@,ctrl-a,ctrl-Z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,d,~')]).toEqual([
      0, 1, 26, 27, 28, 29, 30, 31, 0x64, 0x7e,
    ]);
    expect(parseDetachKeys('')).toHaveLength(0);
    for (const wrong of ['ctrl-', 'ctrl-1', 'ctrl-ab', 'ab', 'ctrl-p,', ',', ' ', 'é']) {
      expect(() => parseDetachKeys(wrong), wrong).toThrow(/is no key/);
    }
  });

  test('DetachFilter finds the keys in one read and over several, and drops them and what follows', () => {
    expect(type(new DetachFilter(keys), 'ab\x10\x11cd')).toEqual({ passed: 'ab', detached: true });
    expect(type(new DetachFilter(keys), 'a', '\x10', '\x11')).toEqual({ passed: 'a', detached: true });
  });

  test('DetachFilter passes on the beginning of the keys where the rest does not follow', () => {
    expect(type(new DetachFilter(keys), '\x10a\x10', '\x10\x11')).toEqual({ passed: '\x10a\x10', detached: true });
    const held = new DetachFilter(keys);
    expect(type(held, 'x\x10')).toEqual({ passed: 'x', detached: false });
    expect(held.rest().toString('latin1')).toBe('\x10');
    expect(held.rest()).toHaveLength(0);
    expect(type(new DetachFilter(parseDetachKeys('a,a,b')), 'aaab')).toEqual({ passed: 'a', detached: true });
    expect(type(new DetachFilter(parseDetachKeys('')), '\x10\x11')).toEqual({ passed: '\x10\x11', detached: false });
  });

  test('DetachFilter detaches at the first place of the keys, however reads are cut, and loses nothing before it', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(letters, fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c') })), (sequence, reads) => {
        const filter = new DetachFilter(parseDetachKeys(Array.from(sequence).join(',')));
        const { passed, detached } = type(filter, ...reads);
        const text = reads.join('');
        const at = text.indexOf(sequence);
        expect(detached).toBe(at >= 0);
        expect(passed + (detached ? '' : filter.rest().toString('latin1'))).toBe(at >= 0 ? text.slice(0, at) : text);
      }),
    );
  });
});

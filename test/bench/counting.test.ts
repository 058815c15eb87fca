import { expect, test } from 'vitest';
import { difference } from '../../bench/measure.ts';
import { kernelDevice, parseCounts } from '../../bench/request-trace.ts';
import { parseSummary } from '../../bench/system-calls.ts';

test('parseSummary reads what strace -c -U calls,name prints, without the total', () => {
  const text = [
    '    calls syscall',
    '--------- ----------------',
    '     7041 read',
    '       12 pread64',
    '--------- ----------------',
    '     7053 total',
    '',
  ];
  expect(parseSummary(text.join('\n'))).toEqual({ read: 7041, pread64: 12 });
  expect(parseSummary('')).toEqual({});
});

test('parseCounts reads what uniq -c prints', () => {
  expect(parseCounts('      3 LOOKUP\n    201 READDIRPLUS\n      1 0x35\n')).toEqual({
    LOOKUP: 3,
    READDIRPLUS: 201,
    '0x35': 1,
  });
});

test('kernelDevice turns the device of stat into the kernel’s number', () => {
  // makedev(0, 61), makedev(0, 300) and makedev(8, 1).
  expect([0x3d, 0x10002c, 0x801].map(kernelDevice)).toEqual([61, 300, (8 << 20) | 1]);
});

test('difference counts what came between, and leaves out what did not', () => {
  expect(difference({ LOOKUP: 2, OPEN: 1 }, { LOOKUP: 5, OPEN: 1, READ: 4 })).toEqual({ LOOKUP: 3, READ: 4 });
});

import { describe, expect, test } from 'vitest';
import { selectProcesses } from '../../runner/container/top.ts';

const OUTPUT = [
  'UID          PID    PPID  C STIME TTY          TIME CMD',
  'root           1       0  0 05:17 ?        00:00:00 /sbin/init',
  'root          12       1  0 05:17 ?        00:00:00 sh -c sleep  60; true',
  '100000       112      12  0 05:17 pts/0    00:00:00 sleep 60',
  '',
].join('\n');

describe('top', () => {
  test('selectProcesses keeps the titles and the rows of the container, the command whole in the last column', () => {
    const { titles, processes } = selectProcesses(OUTPUT, new Set([12, 112, 999]));
    expect(titles).toEqual(['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD']);
    expect(processes).toEqual([
      ['root', '12', '1', '0', '05:17', '?', '00:00:00', 'sh -c sleep 60; true'],
      ['100000', '112', '12', '0', '05:17', 'pts/0', '00:00:00', 'sleep 60'],
    ]);
  });

  test('selectProcesses refuses what does not show PIDs', () => {
    expect(() => selectProcesses('COMMAND\nsh\n', new Set([1]))).toThrow('no column PID');
  });
});

import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JsonLog, type JsonLogOptions, type LogEntry } from '../../runner/container/logs/json-log.ts';
import { LogReader, type LogWindow } from '../../runner/container/logs/log-reader.ts';
import { parseLogOptions, parseRestartPolicy } from '../../runner/container/options/lifecycle.ts';
import { signalNumber } from '../../runner/container/signals.ts';
import { encodeFrame, FrameReader } from '../../runner/container/supervisor/control-protocol.ts';
import { RestartSchedule } from '../../runner/container/supervisor/restart-schedule.ts';

describe('the log of a container', () => {
  const ALL: LogWindow = { tail: undefined, since: undefined, until: undefined };
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-log-'));
    path = join(directory, 'log.json');
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  function open(options: Partial<JsonLogOptions> = {}): JsonLog {
    return new JsonLog(path, { maxSize: undefined, maxFile: 1, ...options }, (message) => {
      throw new Error(message);
    });
  }

  function read(window: Partial<LogWindow> = {}): string[] {
    const reader = new LogReader(path, { ...ALL, ...window });
    const texts = [...reader.read()].map(({ log }) => log);
    reader.close();
    return texts;
  }

  test('has a line of docker’s JSON for each line, and what has no end of its line at the end', () => {
    const log = open();
    log.write('stdout', Buffer.from('one\ntw'));
    log.write('stderr', Buffer.from('wrong\n'));
    log.write('stdout', Buffer.from('o\nrest'));
    const lines = (): LogEntry[] =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as LogEntry);
    expect(lines().map(({ log, stream }) => [log, stream])).toEqual([
      ['one\n', 'stdout'],
      ['wrong\n', 'stderr'],
      ['two\n', 'stdout'],
    ]);
    expect(lines().every(({ time }) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(time))).toBe(true);
    expect(Math.abs(Date.parse(lines()[0]?.time ?? '') - Date.now())).toBeLessThan(60_000);
    log.close();
    expect(read()).toEqual(['one\n', 'wrong\n', 'two\n', 'rest']);
  });

  test('parts lines of more than 16 KiB, and no character', () => {
    const log = open();
    const text = `a${'€'.repeat(20_000)}\n`;
    log.write('stdout', Buffer.from(text));
    log.close();
    const parts = read();
    expect(parts.length).toBeGreaterThan(3);
    expect(parts.every((part) => Buffer.byteLength(part) <= 16_384)).toBe(true);
    expect(parts.join('')).toBe(text);
  });

  test('begins a new file at max-size, keeps max-file of them, and is read over all of them', () => {
    const log = open({ maxSize: 1000, maxFile: 3 });
    for (let at = 0; at < 100; at += 1) log.write('stdout', Buffer.from(`line ${at}\n`));
    log.close();
    expect(readdirSync(directory).sort()).toEqual(['log.json', 'log.json.1', 'log.json.2']);
    const kept = read();
    expect(kept.at(-1)).toBe('line 99\n');
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, at) => `line ${100 - kept.length + at}\n`));
    expect(kept.length).toBeGreaterThan(20);
    expect(read({ tail: 20 })).toEqual(kept.slice(-20));
    expect(read({ tail: 0 })).toEqual([]);
    expect(read({ tail: 1000 })).toEqual(kept);
  });

  test('is emptied at max-size where one file is to be kept', () => {
    const log = open({ maxSize: 500 });
    for (let at = 0; at < 50; at += 1) log.write('stdout', Buffer.from(`line ${at}\n`));
    log.close();
    expect(readdirSync(directory)).toEqual(['log.json']);
    expect(read().at(-1)).toBe('line 49\n');
    expect(read().length).toBeLessThan(20);
  });

  test('is followed through several new files at once, nothing twice and nothing lost', () => {
    const log = open({ maxSize: 1000, maxFile: 10 });
    const reader = new LogReader(path, ALL);
    const seen: string[] = [];
    for (let at = 0; at < 60; at += 1) {
      log.write('stdout', Buffer.from(`line ${at}\n`));
      if (at % 25 === 3) seen.push(...[...reader.read()].map((entry) => entry.log));
    }
    log.close();
    seen.push(...[...reader.read()].map((entry) => entry.log));
    reader.close();
    expect(readdirSync(directory).length).toBeGreaterThan(3);
    expect(seen).toEqual(Array.from({ length: 60 }, (_, at) => `line ${at}\n`));
  });

  test('is read from a time and up to a time, and over what a failing machine left', () => {
    const entry = (second: number): string =>
      `${JSON.stringify({ log: `${second}\n`, stream: 'stdout', time: `2026-01-01T00:00:0${second}Z` })}\n`;
    // A whole line after half of one.
    writeFileSync(path, `${entry(1)}{"log":"ha\n${entry(2)}${entry(3)}${entry(4)}`);
    const moment = (second: number): number => Date.parse(`2026-01-01T00:00:0${second}Z`);
    expect(read()).toEqual(['1\n', '2\n', '3\n', '4\n']);
    expect(read({ since: moment(2), until: moment(3) })).toEqual(['2\n', '3\n']);
  });
});

describe('a restart policy', () => {
  test.each([
    ['no', { name: 'no', maximumRetries: 0 }],
    ['on-failure', { name: 'on-failure', maximumRetries: 0 }],
    ['on-failure:3', { name: 'on-failure', maximumRetries: 3 }],
    ['unless-stopped', { name: 'unless-stopped', maximumRetries: 0 }],
  ])('%s is read', (text, policy) => {
    expect(parseRestartPolicy(text)).toEqual(policy);
  });

  test.each(['', 'never', 'always:3', 'on-failure:x', 'on-failure:-1'])('%j is refused', (text) => {
    expect(() => parseRestartPolicy(text)).toThrow(/restart policy/);
  });

  test('waits 100 ms, twice as long each time up to a minute, and anew after a run of 10 s', () => {
    const schedule = new RestartSchedule(() => ({ name: 'always', maximumRetries: 0 }));
    const pauses = Array.from({ length: 12 }, () => schedule.next(0, 50));
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect([schedule.next(0, 10_000), schedule.next(0, 9999), schedule.count]).toEqual([100, 200, 14]);
  });

  test('on-failure starts again what has failed, so many times at most', () => {
    const schedule = new RestartSchedule(() => ({ name: 'on-failure', maximumRetries: 2 }));
    expect(schedule.next(0, 1)).toBeUndefined();
    expect([schedule.next(1, 1), schedule.next(1, 1), schedule.next(1, 1)]).toEqual([100, 200, undefined]);
    expect(new RestartSchedule(() => ({ name: 'no', maximumRetries: 0 })).next(1, 1)).toBeUndefined();
  });
});

test.each([
  ['TERM', 15],
  ['SIGKILL', 9],
  ['sigusr1', 10],
  ['2', 2],
  ['RTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-1', 63],
])('signalNumber takes %s', (text, number) => {
  expect(signalNumber(text)).toBe(number);
});

test.each(['', '0', '65', 'NOPE', 'RTMIN-1', 'RTMIN+40', 'toString'])('signalNumber refuses %j', (text) => {
  expect(() => signalNumber(text)).toThrow(/is no signal/);
});

test('parseLogOptions takes docker’s sizes, and refuses what it does not know', () => {
  expect(parseLogOptions('json-file', ['max-size=10k', 'max-file=3'])).toEqual({
    driver: 'json-file',
    maxSize: 10_240,
    maxFile: 3,
  });
  for (const options of [['max-size=x'], ['max-file=0', 'max-size=1m'], ['max-file=2'], ['tag=x']]) {
    expect(() => parseLogOptions('json-file', options)).toThrow(/log option/);
  }
  expect(() => parseLogOptions('none', ['max-size=1m'])).toThrow(/no options/);
});

test('FrameReader puts frames together however they are cut, and refuses what is too long', () => {
  const bytes = Buffer.concat([
    encodeFrame(1, Buffer.from('abc')),
    encodeFrame(3),
    encodeFrame(2, Buffer.alloc(3000, 1)),
  ]);
  for (const size of [1, 2, 7, 4096]) {
    const frames: [number, number][] = [];
    const reader = new FrameReader((kind, content) => frames.push([kind, content.length]));
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
    expect(frames).toEqual([
      [1, 3],
      [3, 0],
      [2, 3000],
    ]);
  }
  expect(() => new FrameReader(() => undefined).push(Buffer.from([0, 255, 255, 255, 255]))).toThrow(/too long/);
});

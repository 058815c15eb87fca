import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FATTR, FOPEN, INIT, INIT2, NOTIFY, OPCODE } from '../../fs/fuse/constants.ts';
import { ABI } from '../../fs/fuse/structs.ts';
import { has, titled } from '../support/requirements.ts';

const HEADER = '/usr/include/linux/fuse.h';

function headerMinor(): number {
  try {
    return Number(/FUSE_KERNEL_MINOR_VERSION (\d+)/.exec(readFileSync(HEADER, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

const minor = headerMinor();
const missing = has('gcc') ?? (minor === 0 ? `needs ${HEADER} (linux-libc-dev)` : undefined);

/** Minor version that brought a name; all others are older than any header that we meet. */
const SINCE: Readonly<Record<string, number>> = {
  fuse_sx_time: 39,
  fuse_statx: 39,
  fuse_statx_in: 39,
  fuse_statx_out: 39,
  fuse_copy_file_range_out: 45,
  FUSE_STATX: 39,
  FUSE_COPY_FILE_RANGE_64: 45,
  FUSE_DIRECT_IO_ALLOW_MMAP: 39,
  FUSE_PASSTHROUGH: 40,
  FOPEN_PASSTHROUGH: 40,
  fuse_backing_map: 40,
  FUSE_NO_EXPORT_SUPPORT: 40,
  FUSE_HAS_RESEND: 40,
  FUSE_ALLOW_IDMAP: 41,
  FUSE_OVER_IO_URING: 42,
  FUSE_REQUEST_TIMEOUT: 43,
  // In 7.38, but not in the 7.38 of every stable kernel's header.
  FUSE_CREATE_SUPP_GROUP: 39,
};
const isNewer = (name: string): boolean => (SINCE[name] ?? 0) > minor;

/** Words that were padding before the header's version gave them a name; the padding behind them moved with it. */
const NAMED: Readonly<Record<string, number>> = {
  'fuse_open_out.backing_id': 40,
  'fuse_init_out.max_stack_depth': 40,
  'fuse_init_out.request_timeout': 43,
  'fuse_init_out.unused': 43,
};
const isUnnamed = (field: string): boolean => (NAMED[field] ?? 0) > minor;

type Values = Record<string, number>;

function offsets(): Values {
  const values: Values = {};
  for (const [name, struct] of Object.entries(ABI)) {
    for (const [field, offset] of Object.entries(struct)) {
      if (field === 'sizeof') values[`sizeof(struct ${name})`] = offset;
      else if (field !== 'alignof') values[`offsetof(struct ${name}, ${field})`] = offset;
    }
  }
  return values;
}

function constants(): Values {
  const values: Values = {};
  const add = (prefix: string, table: Readonly<Record<string, number>>, shift = 0): void => {
    for (const [name, value] of Object.entries(table)) values[prefix + name] = value * 2 ** shift;
  };
  add('FUSE_', OPCODE);
  add('FUSE_', INIT);
  add('FUSE_', INIT2, 32);
  add('FOPEN_', FOPEN);
  add('FATTR_', FATTR);
  add('FUSE_NOTIFY_', NOTIFY);
  return values;
}

const structOf = (expression: string): string => /struct (\w+)/.exec(expression)?.[1] ?? expression;
const fieldOf = (expression: string): string => expression.replace(/offsetof\(struct (\w+), (\w+)\)/, '$1.$2');

/** What gcc makes of expressions. */
function evaluate(directory: string, include: string, expressions: readonly string[]): Values {
  const lines = expressions.map((text) => `  printf("%llu\\n", (unsigned long long)(${text}));`);
  const source = `#include <stddef.h>\n#include <stdio.h>\n#include <${include}>\nint main(void) {\n${lines.join('\n')}\n}\n`;
  writeFileSync(join(directory, 'abi.c'), source);
  execFileSync('gcc', ['-o', 'abi', 'abi.c'], { cwd: directory });
  const output = execFileSync(join(directory, 'abi'), { encoding: 'utf8' }).trim().split('\n');
  return Object.fromEntries(expressions.map((text, index) => [text, Number(output[index])]));
}

const newer = Object.keys(SINCE).filter(isNewer);
const note = newer.length === 0 ? '' : ` [not in this header, 7.${minor}: ${newer.join(', ')}]`;

describe.skipIf(missing !== undefined)(titled(`the FUSE ABI against ${HEADER}`, missing), () => {
  let directory: string;
  beforeAll(() => void (directory = mkdtempSync(join(tmpdir(), 'lamina-abi-'))));
  afterAll(() => rmSync(directory, { recursive: true }));

  test(`ABI has the header's offsets and sizes${note}`, () => {
    const ours = Object.entries(offsets()).filter(
      ([expression]) => !isNewer(structOf(expression)) && !isUnnamed(fieldOf(expression)),
    );
    const theirs = evaluate(
      directory,
      'linux/fuse.h',
      ours.map(([expression]) => expression),
    );
    expect(ours.length).toBeGreaterThan(200);
    expect(Object.fromEntries(ours)).toEqual(theirs);
  });

  test(`constants have the header's values${note}`, () => {
    const ours = Object.entries(constants()).filter(([name]) => !isNewer(name));
    const theirs = evaluate(
      directory,
      'linux/fuse.h',
      ours.map(([name]) => name),
    );
    expect(ours.length).toBeGreaterThan(100);
    expect(Object.fromEntries(ours)).toEqual(theirs);
  });

  test('fuse_statx lies as statx(2) does, which the protocol promises', () => {
    const fields = [
      'mask',
      'blksize',
      'nlink',
      'uid',
      'gid',
      'mode',
      'ino',
      'size',
      'blocks',
      'atime',
      'btime',
      'ctime',
    ];
    const all = [
      ...fields,
      'mtime',
      'attributes',
      'attributes_mask',
      'rdev_major',
      'rdev_minor',
      'dev_major',
      'dev_minor',
    ];
    const theirs = evaluate(directory, 'linux/stat.h', [
      ...all.map((field) => `offsetof(struct statx, stx_${field})`),
      'sizeof(struct statx)',
    ]);
    const statx: Values = ABI.fuse_statx;
    const ours = all.map((field) => [`offsetof(struct statx, stx_${field})`, statx[field]]);
    expect(Object.fromEntries([...ours, ['sizeof(struct statx)', statx['sizeof']]])).toEqual(theirs);
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { libfuseArguments, libfuseMountpoint } from '../../fs/libfuse/mount-options.ts';
import { FUSE_NATIVE_EXCLUSIONS } from '../support/fuse-native.ts';
import { REPOSITORY } from '../support/paths.ts';

describe('limits of fuse-native', () => {
  test('FUSE_NATIVE_EXCLUSIONS names rows that are there', () => {
    const directory = join(REPOSITORY, 'test/conformance');
    const files = readdirSync(directory).filter((name) => name.endsWith('.test.ts'));
    const text = files.map((name) => readFileSync(join(directory, name), 'utf8')).join('');
    const names = [...text.matchAll(/name:\s*(['"`])(.*?)\1,/g)].map((match) => match[2]);
    expect([...FUSE_NATIVE_EXCLUSIONS.keys()].filter((name) => !names.includes(name))).toEqual([]);
  });

  test('libfuseMountpoint refuses what fuse-native would cut or garble', () => {
    expect(libfuseMountpoint('/m\u00c3\u00a4')).toBe('/mä');
    expect(() => libfuseMountpoint('/m\xff')).toThrow(/UTF-8 paths of up to 1023 bytes/);
    expect(() => libfuseMountpoint(`/${'m'.repeat(1023)}`)).toThrow(/UTF-8 paths of up to 1023 bytes/);
  });

  test('libfuseArguments refuses options that are too long, and one that libfuse has not', () => {
    expect(() => libfuseArguments({ fsname: 'x'.repeat(1024) }, 1, 'lamina')).toThrow(/too long/);
    expect(() => libfuseArguments({ atime: true, diratime: false }, 1, 'lamina')).toThrow(/nodiratime/);
  });

  test('libfuseArguments escapes the separators of a name', () => {
    expect(libfuseArguments({ fsname: 'a,b\\c' }, 1, 'lamina')).toContain('fsname=a\\,b\\\\c,subtype=lamina,');
  });
});

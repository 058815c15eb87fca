import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { type Store } from '../../runner/image/store.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, tar } from './archives.ts';
import { CommandLine } from './command-line.ts';
import { load, newStore } from './ground.ts';

const BOTTOM = tar({ name: 'f', data: 'x' });
const ONE = { layers: [BOTTOM], names: ['one:1'], architecture: process.arch === 'x64' ? 'amd64' : process.arch };
const TWO = { ...ONE, layers: [BOTTOM, tar({ name: 'g', data: 'yy' })], names: ['two:1'] };

/** Names by id. */
function names(store: Store): Record<string, readonly string[]> {
  return Object.fromEntries(store.list().map((image) => [image.id, image.names]));
}

describe.skipIf(isRoot())(titled('lamina tag, untag and rmi', isRoot()), () => {
  function line(): CommandLine {
    const program = new CommandLine();
    program.output(['load'], dockerArchive(ONE, TWO));
    return program;
  }

  function listed(program: CommandLine): string[] {
    const rows = program.output(['images']).trim().split('\n').slice(1);
    return rows.map((row) => row.split(/ +/).slice(0, 2).join(':')).sort();
  }

  test('tag gives names, also one that another image has, and rmi takes them', () => {
    const program = line();
    program.output(['tag', 'one:1', 'mine', 'localhost:5000/a/b:c', 'two:1']);
    expect(listed(program)).toEqual(['<none>:<none>', 'localhost:5000/a/b:c', 'mine:latest', 'one:1', 'two:1']);
    expect(program.output(['rmi', 'mine', 'two:1'])).toBe('Untagged: mine:latest\nUntagged: two:1\n');
    const gone = program.output(['rmi', 'one:1', 'localhost:5000/a/b:c']).split('\n');
    expect(gone.slice(0, 2)).toEqual(['Untagged: one:1', 'Untagged: localhost:5000/a/b:c']);
    // Its layer is the other image's, too.
    expect(gone.filter((text) => text.startsWith('Deleted: '))).toHaveLength(1);
    expect(listed(program)).toEqual(['<none>:<none>']);
    const [id = ''] = program.output(['images', '-q']).split('\n');
    expect(program.output(['rmi', id]).match(/^Deleted: sha256:/gm)).toHaveLength(3);
    expect(readdirSync(join(program.root, 'layers'))).toEqual([]);
    expect(readdirSync(join(program.root, 'blobs/sha256'))).toEqual([]);
  });

  test('tag refuses what can be no name, and a source that is not there', () => {
    const program = line();
    for (const target of ['Upper', `a@sha256:${'0'.repeat(64)}`, '']) {
      expect(program.call(['tag', 'one:1', target])).toMatchObject({ status: 1, stdout: '' });
    }
    expect(program.call(['tag', 'none', 'a']).stderr).toMatch(/^lamina: image "none" is not in the store/);
    expect(listed(program)).toEqual(['one:1', 'two:1']);
  });

  test('untag takes one name or all, and the image stays', () => {
    const program = line();
    program.output(['image', 'tag', 'one:1', 'a', 'b']);
    program.output(['untag', 'one:1', 'a']);
    expect(program.call(['untag', 'one:1', 'two:1']).stderr).toMatch(/image one:1 has no name two:1/);
    expect(listed(program)).toEqual(['b:latest', 'one:1', 'two:1']);
    program.output(['image', 'untag', 'one:1']);
    expect(listed(program)).toEqual(['<none>:<none>', 'two:1']);
  });

  test('rmi removes what it can, and fails for what is not there, but not with --force', () => {
    const program = line();
    const some = program.call(['rmi', 'none', 'one:1']);
    expect(some.status).toBe(1);
    expect(some.stdout).toMatch(/^Untagged: one:1\nDeleted: sha256:/);
    expect(some.stderr).toBe('lamina: image "none" is not in the store\n');
    expect(program.call(['rmi', '-f', 'none'])).toMatchObject({ status: 0, stdout: '' });
  });

  test('rmi by id refuses names in several repositories, but not with --force', () => {
    const program = line();
    program.output(['tag', 'one:1', 'one:2', 'other']);
    const [image] = JSON.parse(program.output(['image', 'inspect', 'one:1'])) as [{ Id: string }];
    const id = image.Id.slice(7, 19);
    expect(program.call(['rmi', id]).stderr).toMatch(/names in several repositories, one:1, one:2, other:latest/);
    expect(program.output(['rmi', '-f', id])).toMatch(
      /^Untagged: one:1\nUntagged: one:2\nUntagged: other:latest\nDeleted: /,
    );
  });
});

describe.skipIf(isRoot())(titled('Store.remove of an image that a container uses', isRoot()), () => {
  test('refuses, or by force takes the names alone', async () => {
    const store = newStore();
    const [loaded] = await load(store, dockerArchive({ ...TWO, architecture: 'amd64' }));
    const id = loaded?.id ?? '';
    store.hold(store.resolve('two:1'), 'c1');
    expect(() => store.remove('two:1')).toThrow(/container c1 uses it; "lamina rm c1" first/);
    expect(store.remove('two:1', true)).toMatchObject({ untagged: ['two:1'], deleted: [] });
    expect(names(store)).toEqual({ [id]: [] });
    expect(store.resolve(id).unpacked).toBe(true);
    expect(() => store.remove(id, true)).toThrow(/container c1 uses it/);
    store.release('c1');
    expect(store.remove(id).deleted).toHaveLength(3);
  });

  test('knows a hold that a killed process left behind', async () => {
    const store = newStore();
    await load(store, dockerArchive({ ...TWO, architecture: 'amd64' }));
    store.hold(store.resolve('two:1'), 'd'.repeat(64));
    expect(store.remove('two:1').deleted).toHaveLength(3);
    expect(readdirSync(join(store.root, 'holds'))).toEqual([]);
  });
});

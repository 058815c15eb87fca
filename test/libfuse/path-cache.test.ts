import { describe, expect, test } from 'vitest';
import { ROOT_NODE } from '../../fs/filesystem.ts';
import { NodeReferences } from '../../fs/libfuse/node-references.ts';
import { OpenFiles } from '../../fs/libfuse/open-files.ts';
import { PathCache } from '../../fs/libfuse/path-cache.ts';
import { isHiding, Placeholders } from '../../fs/libfuse/placeholders.ts';
import { EINVAL, ENOENT, ENOTDIR } from '../../fs/sys/errno.ts';
import { CountingTree, newEntry } from './fake.ts';

function setUp(): { tree: CountingTree; references: NodeReferences; cache: PathCache } {
  const tree = new CountingTree();
  const references = new NodeReferences(tree);
  return { tree, references, cache: new PathCache(tree, references, newEntry()) };
}

describe('PathCache', () => {
  test('resolve looks each component up once', () => {
    const { tree, cache } = setUp();
    const node = tree.make('/a/b/c');
    expect(cache.resolve('/a/b/c')).toBe(node);
    expect(tree.lookups).toBe(3);
    expect(cache.resolve('/a/b/c')).toBe(node);
    expect(cache.resolve('/a/b')).not.toBe(node);
    expect(tree.lookups).toBe(3);
  });

  test('resolve answers the root without a lookup', () => {
    const { tree, cache } = setUp();
    expect(cache.resolve('/')).toBe(ROOT_NODE);
    expect(cache.resolve('')).toBe(ROOT_NODE);
    expect(tree.lookups).toBe(0);
  });

  test('resolve answers ENOENT, remembers nothing of it, and sees what is made later', () => {
    const { tree, cache } = setUp();
    tree.make('/a/');
    expect(cache.resolve('/a/new')).toBe(-ENOENT);
    const node = tree.make('/a/new');
    expect(cache.resolve('/a/new')).toBe(node);
  });

  test('resolve hands the errno of a lookup on', () => {
    const { tree, cache } = setUp();
    tree.make('/file');
    expect(cache.resolve('/file/below')).toBe(-ENOTDIR);
  });

  test('place splits a path, and refuses the root', () => {
    const { tree, cache } = setUp();
    const a = tree.make('/a/');
    expect(cache.place('/a/new')).toEqual({ parent: a, name: 'new' });
    expect(cache.place('/new')).toEqual({ parent: ROOT_NODE, name: 'new' });
    expect(cache.place('/').parent).toBe(-EINVAL);
    expect(cache.place('/none/new').parent).toBe(-ENOENT);
  });

  test('drop forgets a renamed directory with all below, and no neighbour', () => {
    const { tree, cache } = setUp();
    const file = tree.make('/d/sub/file');
    const neighbour = tree.make('/d2/file');
    expect(cache.resolve('/d/sub/file')).toBe(file);
    expect(cache.resolve('/d2/file')).toBe(neighbour);
    tree.move('/d', '/moved');
    cache.drop('/d');
    expect(cache.resolve('/d/sub/file')).toBe(-ENOENT);
    expect(cache.resolve('/moved/sub/file')).toBe(file);
    const before = tree.lookups;
    expect(cache.resolve('/d2/file')).toBe(neighbour);
    expect(tree.lookups).toBe(before);
  });

  test('drop gives back every lookup of what it forgets', () => {
    const { tree, cache } = setUp();
    const file = tree.make('/d/file');
    cache.resolve('/d/file');
    expect(tree.held(file)).toBe(1);
    tree.remove('/d/file');
    cache.drop('/d/file');
    expect(tree.held(file)).toBe(0);
    expect(cache.resolve('/d/file')).toBe(-ENOENT);
  });

  test('drop of a directory that has dropped out still forgets what is below', () => {
    const { tree, references } = setUp();
    const cache = new PathCache(tree, references, newEntry(), 1);
    const file = tree.make('/d/file');
    cache.resolve('/d/file');
    for (let index = 0; index < 4095; index += 1) {
      tree.make(`/n${index}`);
      cache.resolve(`/n${index}`);
    }
    // The directory was used before its file, and made room for the last name.
    const before = tree.lookups;
    expect(cache.resolve('/d/file')).toBe(file);
    expect(tree.lookups).toBe(before);
    tree.move('/d', '/moved');
    cache.drop('/d');
    expect(cache.resolve('/d/file')).toBe(-ENOENT);
  });

  test('the number of paths is bounded, and what drops out is given back', () => {
    const { tree, references } = setUp();
    const cache = new PathCache(tree, references, newEntry(), 1);
    for (let index = 0; index < 5000; index += 1) {
      tree.make(`/f${index}`);
      cache.resolve(`/f${index}`);
    }
    expect(cache.size).toBe(4096);
    expect(tree.heldNodes).toBe(4096);
    expect(references.size).toBe(4096);
    cache.clear();
    expect(tree.heldNodes).toBe(0);
  });

  test('resolving the longest path keeps every node of it', () => {
    const { tree, references } = setUp();
    const cache = new PathCache(tree, references, newEntry(), 1);
    const path = '/x'.repeat(2047);
    const node = tree.make(path);
    expect(cache.resolve(path)).toBe(node);
    expect(tree.heldNodes).toBe(2047);
  });

  test('two names of one node are given back with the second', () => {
    const { tree, cache } = setUp();
    const node = tree.make('/a');
    cache.resolve('/a');
    tree.move('/a', '/b');
    cache.resolve('/b');
    cache.drop('/a');
    expect(tree.held(node)).toBe(2);
    cache.drop('/b');
    expect(tree.held(node)).toBe(0);
  });
});

describe('OpenFiles', () => {
  test('an open file is held when its path is forgotten, until it is closed', () => {
    const { tree, references, cache } = setUp();
    const files = new OpenFiles(references);
    const node = tree.make('/a');
    cache.resolve('/a');
    files.add(3, node);
    files.add(4, node);
    cache.drop('/a');
    expect(files.get(3)).toBe(node);
    files.remove(3);
    expect(files.get(3)).toBeUndefined();
    expect(files.isOpen(node)).toBe(true);
    expect(tree.held(node)).toBe(1);
    files.remove(4);
    expect(files.isOpen(node)).toBe(false);
    expect(tree.held(node)).toBe(0);
  });
});

describe('Placeholders', () => {
  const NAME = '.fuse_hidden0000000a00000001';

  test('isHiding takes the names that libfuse has just made up, and no others', () => {
    expect(isHiding('/d/a', `/d/${NAME}`, 1)).toBe(true);
    // Another thread has counted on.
    expect(isHiding('/d/a', `/d/${NAME}`, 2)).toBe(true);
    expect(isHiding('/d/a', `/d/${NAME}`, 0)).toBe(false);
    expect(isHiding('/d/a', `/d/${NAME}`, 1000)).toBe(false);
    expect(isHiding('/d/a', `/e/${NAME}`, 1)).toBe(false);
    expect(isHiding('/d/a', `/d/${NAME}x`, 1)).toBe(false);
    expect(isHiding('/d/a', '/d/.fuse_hidden', 1)).toBe(false);
    expect(isHiding('/d/a', `/d/${NAME}/below`, 1)).toBe(false);
    expect(isHiding('/a', '/.fuse_hidden00000001ffffffff', 0xffffffff)).toBe(true);
  });

  test('all placeholders of a node go with its last handle', () => {
    const { tree, references, cache } = setUp();
    const placeholders = new Placeholders(references);
    const node = tree.make('/d/a');
    const other = tree.make('/d/b');
    cache.resolve('/d/a');
    cache.resolve('/d/b');
    placeholders.add(`/d/${NAME}`, node);
    placeholders.add('/d/.fuse_hidden0000000a00000002', node);
    placeholders.add('/d/.fuse_hidden0000000b00000003', other);
    cache.clear();
    expect(placeholders.has(node)).toBe(true);
    placeholders.removeOf(node);
    expect(placeholders.has(node)).toBe(false);
    expect(tree.held(node)).toBe(0);
    expect(placeholders.has(other)).toBe(true);
  });

  test('a placeholder holds its node, and is found where its directory has moved to', () => {
    const { tree, references, cache } = setUp();
    const placeholders = new Placeholders(references);
    const node = tree.make('/d/a');
    cache.resolve('/d/a');
    placeholders.add(`/d/${NAME}`, node);
    cache.drop('/d/a');
    expect(placeholders.find(`/moved/${NAME}`)).toBe(node);
    expect(placeholders.find('/d/a')).toBeUndefined();
    expect(tree.held(node)).toBe(1);
    expect(placeholders.remove(`/d/${NAME}`)).toBe(true);
    expect(placeholders.remove(`/d/${NAME}`)).toBe(false);
    expect(tree.held(node)).toBe(0);
  });
});

import { expect, test } from 'vitest';
import { pairName, pairsOf } from '../../bench/pairs.ts';

const pairs = (...names: readonly string[]): string[] => pairsOf(names).map(pairName);

test('pairsOf compares every peer with lamina', () => {
  expect(pairs('lamina', 'overlayfs', 'fuse-overlayfs')).toEqual(['lamina/overlayfs', 'lamina/fuse-overlayfs']);
});

test('pairsOf compares a variant of a peer with the same of ours, where that takes part', () => {
  expect(pairs('lamina', 'overlayfs-metacopy', 'lamina-metacopy')).toEqual(['lamina-metacopy/overlayfs-metacopy']);
  expect(pairs('lamina', 'overlayfs-metacopy')).toEqual(['lamina/overlayfs-metacopy']);
});

test('pairsOf compares fuse-overlayfs, which syncs nothing, with ours that does and ours that does not', () => {
  expect(pairs('lamina', 'lamina-volatile', 'fuse-overlayfs', 'overlayfs-volatile')).toEqual([
    'lamina/fuse-overlayfs',
    'lamina-volatile/fuse-overlayfs',
    'lamina-volatile/overlayfs-volatile',
  ]);
});

test('pairsOf has nothing to compare where lamina is not there', () => {
  expect(pairs('overlayfs')).toEqual([]);
});

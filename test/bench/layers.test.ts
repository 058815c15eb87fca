import { expect, test } from 'vitest';
import { ancestors, bounded, deal } from '../../bench/layers.ts';

test('ancestors lists directories from the top', () => {
  expect(ancestors('a/b/c')).toEqual(['a', 'a/b']);
  expect(ancestors('a')).toEqual([]);
});

test('deal gives each path to one layer, after its directories', () => {
  expect(deal(['d', 'd/1', 'd/2', 'd/3'], 2)).toEqual([
    ['d', 'd/2'],
    ['d', 'd/1', 'd/3'],
  ]);
});

test('bounded skips what is too large and stops at the number of files', () => {
  const listing = ['60 first one', '50 second', '40 third', '0 fourth'];
  expect(bounded(listing, 100, 10)).toEqual(['first one', 'third', 'fourth']);
  expect(bounded(listing, 100, 1)).toEqual(['first one']);
  expect(bounded(['9000000 huge', '1 small'], 1e9, 10)).toEqual(['small']);
});

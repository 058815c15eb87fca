import { randomInt } from 'node:crypto';

const QUALITIES =
  'amber brisk calm clever cosy crisp deft eager fair fleet fond gentle glad hardy honest jolly keen kind lively loyal mellow merry neat nimble patient plucky polite proud quiet rapid ready serene sharp sleek sober steady sunny swift tidy witty'.split(
    ' ',
  );
const THINGS =
  'alder anvil badger basalt beacon birch canyon cedar cobalt comet coral cricket delta ember falcon fern flint garnet glacier harbor heron ibex juniper lagoon lantern linden magpie maple meadow otter pebble plover quartz raven reef sparrow spruce thistle tundra willow'.split(
    ' ',
  );

/** A name that nobody chose: two words, as docker's. */
export function randomName(): string {
  return `${pick(QUALITIES)}_${pick(THINGS)}`;
}

function pick(words: readonly string[]): string {
  return words[randomInt(words.length)] ?? 'plain';
}

const FORM = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** Docker's rule for names of containers. */
export function checkName(name: string): string {
  if (FORM.test(name)) return name;
  const rule = 'letters, digits, "_", "." and "-", the first a letter or digit, at most 128 of them';
  throw new Error(`container name ${JSON.stringify(name.slice(0, 200))} is not valid: ${rule}`);
}

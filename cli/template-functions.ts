import { printable, printableJson } from './printable.ts';

/** What an expression of a template yields. */
export type Value = unknown;

/** Text that was made printable as a whole: line ends in it are meant. */
export class Printable {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A value as Go's `%v` prints it. */
export function textOf(value: Value): string {
  if (value === undefined || value === null) return '<no value>';
  if (value instanceof Printable) return value.text;
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `map[${members.map(([key, item]) => `${key}:${textOf(item)}`).join(' ')}]`;
}

/** Go's truth: neither false, nor 0, nor empty. */
export function isTrue(value: Value): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

function lengthOf(value: Value): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'object' && value !== null) return Object.keys(value).length;
  throw new Error(`${textOf(value)} has no length`);
}

function listOf(value: Value): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value as unknown[];
  throw new Error(`${textOf(value)} is no list`);
}

/** A member that is not there has no value; in a list that is an error, as in Go. */
function indexOf(value: Value, ...keys: readonly Value[]): Value {
  return keys.reduce((of, key) => {
    if (typeof of !== 'object' || of === null) return undefined;
    if (Array.isArray(of) && !(Number(key) in of)) throw new Error(`index ${textOf(key)} is out of range`);
    const name = textOf(key);
    return Object.hasOwn(of, name) ? (of as Readonly<Record<string, unknown>>)[name] : undefined;
  }, value);
}

/** `%s`, `%v`, `%d`, `%q`, with a width and a precision. */
function format(pattern: Value, ...values: readonly Value[]): string {
  let at = 0;
  return textOf(pattern).replace(/%(-?)(\d*)(?:\.(\d+))?([svdq%])/g, (_, left: string, width, precision, verb) => {
    if (verb === '%') return '%';
    const text = textOf(values[at++]);
    const cut = precision === undefined ? text : text.slice(0, Number(precision));
    const quoted = verb === 'q' ? JSON.stringify(cut) : cut;
    return left === '-' ? quoted.padEnd(Number(width)) : quoted.padStart(Number(width));
  });
}

type TemplateFunction = (...values: readonly Value[]) => Value;

const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  json: (value) => new Printable(printableJson(value ?? null)),
  len: lengthOf,
  index: indexOf,
  join: (list, separator) => listOf(list).map(textOf).join(textOf(separator)),
  split: (text, separator) => textOf(text).split(textOf(separator)),
  lower: (text) => textOf(text).toLowerCase(),
  upper: (text) => textOf(text).toUpperCase(),
  title: (text) => textOf(text).replace(/(?<![^\s])\S/g, (letter) => letter.toUpperCase()),
  truncate: (text, length) => textOf(text).slice(0, Number(length)),
  print: (...values) => values.map(textOf).join(''),
  println: (...values) => new Printable(`${printable(values.map(textOf).join(' '))}\n`),
  printf: format,
  eq: (one, ...others) => others.some((other) => textOf(one) === textOf(other)),
  ne: (one, other) => textOf(one) !== textOf(other),
  not: (value) => !isTrue(value),
  and: (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1),
  or: (...values) => values.find(isTrue) ?? values.at(-1),
};

/** Calls a function of a template by its name. */
export function call(name: string, values: readonly Value[]): Value {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (found === undefined) throw new Error(`there is no function ${JSON.stringify(name)}`);
  return found(...values);
}

/** For the parser: names of all functions. */
export function isFunction(name: string): boolean {
  return Object.hasOwn(FUNCTIONS, name);
}

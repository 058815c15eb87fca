import { type Digest, parseDigest } from './digest.ts';
import { findRepeatedMember } from './json-members.ts';

/** A parsed JSON object, nothing known of its members. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Readers of hostile JSON: each answers what it names or throws with the place (`manifest.config.size`). */

export function parseJson(bytes: Uint8Array, where: string): unknown {
  return parseText(bytes, where).value;
}

/** A document that says what an image is: what two readers would read in two ways is refused. */
export function parseDocument(bytes: Uint8Array, where: string): unknown {
  const { value, text } = parseText(bytes, where);
  const repeated = findRepeatedMember(text);
  if (repeated === undefined) return value;
  throw new Error(
    `${where} has the member ${JSON.stringify(repeated.slice(0, 100))} twice: its readers would disagree about it`,
  );
}

function parseText(bytes: Uint8Array, where: string): { readonly value: unknown; readonly text: string } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { value: JSON.parse(text), text };
  } catch (error) {
    throw new Error(`${where} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Go's readers take a member for another that differs in case alone.
 *
 * @param names those that say what the document is.
 */
export function checkCase(object: JsonObject, names: readonly string[], where: string): void {
  const byLowerCase = new Map(names.map((name) => [name.toLowerCase(), name]));
  for (const key of Object.keys(object)) {
    const name = byLowerCase.get(key.toLowerCase());
    if (name !== undefined && name !== key) {
      throw new Error(
        `${where} has the member ${JSON.stringify(key)}, which some readers take for ${JSON.stringify(name)}`,
      );
    }
  }
}

function refuse(where: string, expected: string): Error {
  return new Error(`${where} is not ${expected}`);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw refuse(where, 'an object');
  return value;
}

export function asArray(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw refuse(where, 'an array');
  return value;
}

export function asString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw refuse(where, 'a string');
  return value;
}

/** A count or size: an integer that a double holds exactly, not negative. */
export function asSize(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw refuse(where, 'a size');
  return value;
}

export function asDigest(value: unknown, where: string): Digest {
  return parseDigest(asString(value, where), where);
}

// Go writes null for what is empty, so null is as good as absent in the readers of optional members.

export function optionalObject(value: unknown, where: string): JsonObject {
  return value === undefined || value === null ? {} : asObject(value, where);
}

export function optionalString(value: unknown, where: string): string {
  return value === undefined || value === null ? '' : asString(value, where);
}

export function optionalStrings(value: unknown, where: string): readonly string[] {
  if (value === undefined || value === null) return [];
  return asArray(value, where).map((item, index) => asString(item, `${where}[${index}]`));
}

/** An object whose members are all strings. `fromEntries` defines own members, so `__proto__` is one like any other. */
export function optionalStringMap(value: unknown, where: string): Readonly<Record<string, string>> {
  const members = Object.entries(optionalObject(value, where));
  return Object.fromEntries(members.map(([key, member]) => [key, asString(member, `${where}.${key}`)]));
}

import { EPERM } from '../../../fs/sys/errno.ts';
import {
  type JsonObject,
  asArray,
  asObject,
  asSize,
  asString,
  optionalObject,
  optionalString,
  optionalStrings,
  parseJson,
} from '../../image/json.ts';
import {
  type ArchitectureMap,
  type ProfileArgument,
  type ProfileRule,
  type RuleScope,
  type SeccompProfile,
} from './profile.ts';

// What is in the file is known by its place in it: `FILE: syscalls[3].args[0].op`.

const MAX_ERRNO = 4095;
const MAX_ARGUMENT = 5;
const MAX_NAME = 64;
const U64_LIMIT = 1n << 64n;

/**
 * Reads a profile in the format of docker, podman and containerd; undefined for one that says nothing, which filters
 * nothing.
 *
 * @param where the file's name, for what is said of a mistake.
 */
export function parseSeccompProfile(bytes: Uint8Array, where: string): SeccompProfile | undefined {
  const profile = asObject(parseJson(quoteValues(bytes), where), where);
  refuseListener(profile, where);
  const syscalls = asArray(profile['syscalls'] ?? [], `${where}: syscalls`);
  if (syscalls.length === 0 && optionalString(profile['defaultAction'], `${where}: defaultAction`) === '')
    return undefined;
  return {
    defaultAction: asString(profile['defaultAction'], `${where}: defaultAction`),
    defaultErrno: optionalErrno(profile['defaultErrnoRet'], `${where}: defaultErrnoRet`) ?? EPERM,
    ...(profile['flags'] == null ? {} : { flags: optionalStrings(profile['flags'], `${where}: flags`) }),
    architectures: parseArchitectures(profile, where),
    rules: syscalls.map((rule, index) => parseRule(rule, `${where}: syscalls[${index}]`)),
  };
}

/** Values have 64 bits, of which JSON.parse keeps 53: they become strings, which keep all. */
function quoteValues(bytes: Uint8Array): Buffer {
  const text = Buffer.from(bytes).toString('latin1');
  return Buffer.from(text.replace(/(?<!\\)("value(?:Two)?"\s*:\s*)(\d+)(?=\s*[,}])/g, '$1"$2"'), 'latin1');
}

function refuseListener(profile: JsonObject, where: string): void {
  if (optionalString(profile['listenerPath'], `${where}: listenerPath`) === '') return;
  throw new Error(`${where}: listenerPath is not supported: there is nobody here to answer SCMP_ACT_NOTIFY`);
}

function optionalErrno(value: unknown, where: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  const errno = asSize(value, where);
  if (errno > MAX_ERRNO) throw new Error(`${where} is not an errno: ${errno} is over ${MAX_ERRNO}`);
  return errno;
}

function parseArchitectures(profile: JsonObject, where: string): ArchitectureMap[] {
  const listed = optionalStrings(profile['architectures'], `${where}: architectures`);
  const maps = asArray(profile['archMap'] ?? [], `${where}: archMap`);
  if (listed.length > 0 && maps.length > 0) throw new Error(`${where} has both architectures and archMap`);
  if (listed.length > 0) return [{ others: listed }];
  return maps.map((item, index) => {
    const place = `${where}: archMap[${index}]`;
    const map = asObject(item, place);
    return {
      native: asString(map['architecture'], `${place}.architecture`),
      others: optionalStrings(map['subArchitectures'], `${place}.subArchitectures`),
    };
  });
}

function parseRule(item: unknown, where: string): ProfileRule {
  const rule = asObject(item, where);
  const errno = optionalErrno(rule['errnoRet'], `${where}.errnoRet`);
  const args = asArray(rule['args'] ?? [], `${where}.args`);
  const includes = parseScope(rule['includes'], `${where}.includes`);
  const excludes = parseScope(rule['excludes'], `${where}.excludes`);
  return {
    names: parseNames(rule, where),
    action: asString(rule['action'], `${where}.action`),
    args: args.map((argument, index) => parseArgument(argument, `${where}.args[${index}]`)),
    ...(errno === undefined ? {} : { errno }),
    includes,
    excludes,
  };
}

function parseNames(rule: JsonObject, where: string): readonly string[] {
  const name = optionalString(rule['name'], `${where}.name`);
  const names = optionalStrings(rule['names'], `${where}.names`);
  if (name !== '' && names.length > 0) throw new Error(`${where} has both name and names`);
  const all = name === '' ? names : [name];
  const odd = all.find((one) => !/^\w+$/.test(one) || one.length > MAX_NAME);
  if (odd !== undefined)
    throw new Error(`${where}: ${JSON.stringify(odd.slice(0, MAX_NAME))} is no name of a system call`);
  return all;
}

function parseArgument(item: unknown, where: string): ProfileArgument {
  const argument = asObject(item, where);
  const index = asSize(argument['index'], `${where}.index`);
  if (index > MAX_ARGUMENT) throw new Error(`${where}.index is over ${MAX_ARGUMENT}`);
  return {
    index,
    op: asString(argument['op'], `${where}.op`),
    value: parseValue(argument['value'], `${where}.value`),
    valueTwo: parseValue(argument['valueTwo'], `${where}.valueTwo`),
  };
}

function parseValue(value: unknown, where: string): bigint {
  if (value === undefined || value === null) return 0n;
  const text = asString(value, where);
  const number = /^\d{1,20}$/.test(text) ? BigInt(text) : U64_LIMIT;
  if (number >= U64_LIMIT) throw new Error(`${where} is not a number of 64 bits without a sign`);
  return number;
}

function parseScope(item: unknown, where: string): RuleScope {
  const scope = optionalObject(item, where);
  const minKernel = optionalString(scope['minKernel'], `${where}.minKernel`);
  if (minKernel !== '' && !/^\d+\.\d+$/.test(minKernel)) throw new Error(`${where}.minKernel is not MAJOR.MINOR`);
  return {
    caps: optionalStrings(scope['caps'], `${where}.caps`),
    arches: optionalStrings(scope['arches'], `${where}.arches`),
    ...(minKernel === '' ? {} : { minKernel }),
  };
}

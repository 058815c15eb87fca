import { isAbsolute, join } from 'node:path';
import { constants } from 'node:os';

import { expand, wordsOf } from './change-words.ts';
import { type JsonObject, optionalObject, optionalString, optionalStrings } from './json.ts';

// `commit --change`: instructions of a Dockerfile that change an image's configuration and nothing else.

type Apply = (state: ChangeState, argument: string) => JsonObject;

/** A configuration on its way, and what is remembered from one instruction to the next. */
interface ChangeState {
  readonly config: JsonObject;
  hasCmd: boolean;
}

/**
 * A `config` object with changes made to it, in docker's words.
 *
 * @param changes as `CMD ["a"]`, or as podman also takes them, `CMD=["a"]`.
 */
export function changeConfig(config: JsonObject, changes: readonly string[]): JsonObject {
  let state: ChangeState = { config, hasCmd: false };
  for (const change of changes) {
    try {
      const { hasCmd } = state;
      const [apply, argument] = parseChange(change);
      const next = { config: state.config, hasCmd };
      const members = apply(next, argument);
      state = { config: { ...state.config, ...members }, hasCmd: next.hasCmd };
    } catch (error) {
      throw new Error(`--change ${JSON.stringify(change)}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
  return state.config;
}

function parseChange(change: string): [Apply, argument: string] {
  const match = /^\s*([A-Za-z]+)(?:\s*=\s*|\s+|$)([\s\S]*)$/.exec(change);
  const apply = INSTRUCTIONS[match?.[1]?.toUpperCase() ?? ''];
  if (match === null || apply === undefined) {
    throw new Error(`it is none of the instructions ${Object.keys(INSTRUCTIONS).join(', ')}`);
  }
  const argument = (match[2] ?? '').trim();
  if (argument === '') throw new Error('it has no argument');
  if (argument.includes('\0')) throw new Error('it holds a NUL byte');
  return [apply, argument];
}

const INSTRUCTIONS: Readonly<Record<string, Apply>> = {
  CMD: (state, argument) => {
    state.hasCmd = true;
    return { Cmd: commandOf(state.config, argument) };
  },
  ENTRYPOINT: ({ config, hasCmd }, argument) => ({
    Entrypoint: commandOf(config, argument),
    // Arguments were those of the entrypoint before.
    ...(hasCmd ? {} : { Cmd: null }),
  }),
  ENV: ({ config }, argument) => ({ Env: setEnv(config, pairsOf(argument, config)) }),
  EXPOSE: ({ config }, argument) => ({
    ExposedPorts: withMembers(config, 'ExposedPorts', wordsOf(argument, variablesOf(config)).flatMap(portsOf)),
  }),
  LABEL: ({ config }, argument) => ({
    Labels: { ...optionalObject(config['Labels'], 'Labels'), ...Object.fromEntries(pairsOf(argument, config)) },
  }),
  ONBUILD: ({ config }, argument) => ({
    OnBuild: [...optionalStrings(config['OnBuild'], 'OnBuild'), checkTrigger(argument)],
  }),
  USER: ({ config }, argument) => ({ User: expand(argument, variablesOf(config)) }),
  VOLUME: ({ config }, argument) => ({
    Volumes: withMembers(config, 'Volumes', listOf(argument) ?? wordsOf(argument, variablesOf(config))),
  }),
  WORKDIR: ({ config }, argument) => ({ WorkingDir: workdirOf(config, expand(argument, variablesOf(config))) }),
  STOPSIGNAL: ({ config }, argument) => ({ StopSignal: checkSignal(expand(argument, variablesOf(config))) }),
  HEALTHCHECK: ({ config }, argument) => ({ Healthcheck: healthcheckOf(config, argument) }),
};

/** Names of the instructions, for help. */
export const CHANGE_INSTRUCTIONS = Object.keys(INSTRUCTIONS).join(', ');

/** A JSON array of strings; undefined for anything else, which is text for a shell or a list of words. */
function listOf(argument: string): string[] | undefined {
  if (!argument.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(argument);
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}

function commandOf(config: JsonObject, argument: string): string[] {
  const list = listOf(argument);
  if (list !== undefined) return list;
  const shell = optionalStrings(config['Shell'], 'Shell');
  return [...(shell.length > 0 ? shell : ['/bin/sh', '-c']), argument];
}

function variablesOf(config: JsonObject): Map<string, string> {
  return new Map(optionalStrings(config['Env'], 'Env').map(splitPair));
}

function splitPair(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** `NAME=VALUE ...`, or as the first Dockerfiles had it, `NAME VALUE` for one alone. */
function pairsOf(argument: string, config: JsonObject): [name: string, value: string][] {
  const variables = variablesOf(config);
  const words = wordsOf(argument, variables);
  if (words[0]?.includes('=') !== true) {
    const match = /^(\S+)\s+([\s\S]+)$/.exec(argument);
    if (match === null) throw new Error('it is not NAME=VALUE');
    return [[expand(match[1] ?? '', variables), expand(match[2] ?? '', variables)]];
  }
  return words.map((word) => {
    if (!word.includes('=') || word.startsWith('=')) throw new Error(`${JSON.stringify(word)} is not NAME=VALUE`);
    return splitPair(word);
  });
}

function setEnv(config: JsonObject, pairs: readonly (readonly [string, string])[]): string[] {
  return [...new Map([...variablesOf(config), ...pairs])].map(([name, value]) => `${name}=${value}`);
}

// docker has sets as objects of empty objects.
function withMembers(config: JsonObject, key: string, names: readonly string[]): JsonObject {
  if (names.some((name) => name === '')) throw new Error('a name in it is empty');
  return { ...optionalObject(config[key], key), ...Object.fromEntries(names.map((name) => [name, {}])) };
}

const HIGHEST_PORT = 65535;

/** `80`, `80/udp`, `8000-8010/tcp`. */
function portsOf(word: string): string[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word);
  const first = Number(match?.[1] ?? 0);
  const last = Number(match?.[2] ?? first);
  if (match === null || first < 1 || last < first || last > HIGHEST_PORT) {
    throw new Error(`${JSON.stringify(word)} is not PORT[-PORT][/tcp|udp|sctp]`);
  }
  const protocol = (match[3] ?? 'tcp').toLowerCase();
  return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol}`);
}

function checkTrigger(argument: string): string {
  const [instruction = ''] = argument.split(/\s/);
  if (!/^(?:ONBUILD|FROM|MAINTAINER)$/i.test(instruction)) return argument;
  throw new Error(`ONBUILD ${instruction.toUpperCase()} is not allowed`);
}

function workdirOf(config: JsonObject, path: string): string {
  const before = optionalString(config['WorkingDir'], 'WorkingDir') || '/';
  return isAbsolute(path) ? join(path) : join('/', before, path);
}

const HIGHEST_SIGNAL = 64;

function checkSignal(text: string): string {
  const name = text.toUpperCase().replace(/^(?:SIG)?/, 'SIG');
  const isNumber = /^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= HIGHEST_SIGNAL;
  if (isNumber || Object.hasOwn(constants.signals, name) || /^SIGRTM(?:IN|AX)(?:[+-]\d{1,2})?$/.test(name)) return text;
  throw new Error(`${JSON.stringify(text)} is no signal`);
}

const HEALTH_OPTIONS: Readonly<Record<string, string>> = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
};

/** `NONE`, or `[--interval=30s ...] CMD command`. */
function healthcheckOf(config: JsonObject, argument: string): JsonObject {
  if (/^NONE$/i.test(argument)) return { Test: ['NONE'] };
  const members: Record<string, number> = {};
  let rest = argument;
  for (let option = /^--([a-z-]+)=(\S+)\s+/.exec(rest); option !== null; option = /^--([a-z-]+)=(\S+)\s+/.exec(rest)) {
    const [whole, name = '', value = ''] = option;
    const key = HEALTH_OPTIONS[name];
    if (name === 'retries') members['Retries'] = countOf(value);
    else if (key === undefined) throw new Error(`it has no option --${name}`);
    else members[key] = nanosecondsOf(value);
    rest = rest.slice(whole.length);
  }
  const command = /^CMD\s+([\s\S]+)$/i.exec(rest)?.[1];
  if (command === undefined) throw new Error('it is neither NONE nor CMD and a command');
  const list = listOf(command);
  const shell = optionalStrings(config['Shell'], 'Shell');
  const test = list === undefined ? [shell.length > 0 ? 'CMD' : 'CMD-SHELL', ...shell, command] : ['CMD', ...list];
  return { Test: test, ...members };
}

function countOf(value: string): number {
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw new Error(`${JSON.stringify(value)} is no number of retries`);
}

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** A duration as Go writes it: `1m30s`. */
function nanosecondsOf(value: string): number {
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)];
  const sum = parts.reduce((all, [, number, unit = '']) => all + Number(number) * (UNITS[unit] ?? 0), 0);
  const isWhole = parts.map(([part]) => part).join('') === value && value !== '';
  // docker's least, below which it would only check.
  if (isWhole && (sum === 0 || sum >= 1e6)) return sum;
  throw new Error(`${JSON.stringify(value)} is no duration, as 30s or 1m30s`);
}

import { mappedIdCounts } from '../../../fs/sys/id-maps.ts';
import {
  type IdMapping,
  type IdMappings,
  checkMappings,
  keptMapping,
  othersMapping,
  parseMapping,
} from '../user-namespace/id-mappings.ts';

/** What the command line asks for of a container's users, where they are to be in a user namespace of its own. */
export interface UserNamespaceOptions {
  /** As it was asked for. */
  readonly mode: string;
  /** Undefined until the container is made, where that decides: `auto`, `container:NAME`. */
  readonly mappings?: IdMappings | undefined;
  /** Whom the container runs as where nothing else is asked for: the caller. */
  readonly kept?: KeptUser | undefined;
  readonly auto?: AutoRange | undefined;
  /** The container whose user namespace is shared. */
  readonly container?: string | undefined;
}

/** The caller, as he is known inside. */
export interface KeptUser {
  readonly uid: number;
  readonly gid: number;
  /** Undefined where other ids than the caller's own were asked for. */
  readonly name?: string | undefined;
  readonly home?: string | undefined;
}

/** What `auto` is to find a range for. */
export interface AutoRange {
  /** How many ids; without it, as many as the image's users need. */
  readonly size?: number | undefined;
  /** Those that are to be what they are told. */
  readonly users: readonly IdMapping[];
  readonly groups: readonly IdMapping[];
}

/** Who calls lamina. */
export interface Caller extends KeptUser {
  readonly isRootless: boolean;
}

/** What the options of user namespaces say. */
export interface UserNamespaceFlags {
  readonly userns?: string | undefined;
  readonly uidmap?: readonly string[] | undefined;
  readonly gidmap?: readonly string[] | undefined;
}

/**
 * Undefined where the container's users are the caller's own.
 *
 * @param caller asked for only where it matters: to be called where `enterUserNamespace` has been.
 */
export function parseUserNamespace(
  { userns, uidmap, gidmap }: UserNamespaceFlags,
  caller: () => Caller,
): UserNamespaceOptions | undefined {
  const hasMaps = uidmap !== undefined || gidmap !== undefined;
  if (hasMaps && !['', 'private', undefined].includes(userns)) {
    throw new Error('--userns and --uidmap or --gidmap do not go together');
  }
  if (hasMaps) return givenMappings(uidmap ?? gidmap ?? [], gidmap ?? uidmap ?? []);
  if (userns === undefined || userns === '' || userns === 'host') return undefined;
  const [, word = '', rest] = /^([^:]*)(?::(.*))?$/s.exec(userns) ?? [];
  switch (word) {
    case 'keep-id':
      return keptNamespace(userns, wordsOf(userns, rest, ['uid', 'gid', 'size']), caller());
    case 'nomap':
      if (rest === undefined) return unmappedNamespace(caller());
      break;
    case 'auto':
      return autoNamespace(userns, wordsOf(userns, rest, ['size', 'uidmapping', 'gidmapping']));
    case 'container':
      if (rest !== undefined && rest !== '') return { mode: userns, container: rest };
      break;
    case 'private':
      throw new Error(
        '--userns private needs to be told which users: --uidmap and --gidmap do, and --userns auto finds a range',
      );
    case 'ns':
      throw new Error(
        `--userns ${userns}: nothing tells which users a namespace has that is nobody’s; --userns container:NAME shares another container's`,
      );
    default:
  }
  throw new Error(`--userns ${JSON.stringify(userns)} is none of host, keep-id, nomap, auto, container:NAME`);
}

/** `NAME=VALUE,...`; a name may come several times. */
function wordsOf(mode: string, text: string | undefined, known: readonly string[]): readonly [string, string][] {
  const words = (text ?? '').split(',').filter((word) => word !== '');
  return words.map((word) => {
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
    if (known.includes(name)) return [name, value];
    throw new Error(`--userns ${JSON.stringify(mode)}: ${JSON.stringify(word)} is none of ${known.join('=, ')}=`);
  });
}

function numberOf(mode: string, name: string, words: readonly [string, string][]): number | undefined {
  const text = words.find(([word]) => word === name)?.[1];
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`--userns ${JSON.stringify(mode)}: ${name}=${text} is not a number of ids`);
}

function keptNamespace(mode: string, words: readonly [string, string][], caller: Caller): UserNamespaceOptions {
  const total = subordinateTotals('keep-id', caller);
  const size = numberOf(mode, 'size', words);
  const [uid, gid] = [numberOf(mode, 'uid', words), numberOf(mode, 'gid', words)];
  const isAsked = uid !== undefined || gid !== undefined;
  const kept = { uid: uid ?? caller.uid, gid: gid ?? caller.gid };
  const mapping = (kind: string, id: number, available: number): IdMapping[] => {
    const count = Math.min(size ?? available, available);
    if (id < count) return keptMapping(id, count);
    throw new Error(
      `--userns ${mode}: ${kind} ${id} is beyond the ${count} ids of the container, which the subordinate ids give`,
    );
  };
  return {
    mode,
    mappings: { users: mapping('uid', kept.uid, total.users), groups: mapping('gid', kept.gid, total.groups) },
    kept: isAsked ? kept : { ...kept, name: caller.name, home: caller.home },
  };
}

function unmappedNamespace(caller: Caller): UserNamespaceOptions {
  const { users, groups } = subordinateTotals('nomap', caller);
  return { mode: 'nomap', mappings: { users: othersMapping(users), groups: othersMapping(groups) } };
}

function subordinateTotals(mode: string, { isRootless }: Caller): { readonly users: number; readonly groups: number } {
  if (!isRootless) throw new Error(`--userns ${mode} is for ordinary users: root's containers have --userns auto`);
  const totals = mappedIdCounts();
  if (totals.users > 1 && totals.groups > 1) return totals;
  throw new Error(
    `--userns ${mode} needs subordinate ids; as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`,
  );
}

function autoNamespace(mode: string, words: readonly [string, string][]): UserNamespaceOptions {
  const given = (name: string): IdMapping[] =>
    words.filter(([word]) => word === name).map(([, value]) => parseMapping(`--userns ${name}=`, value));
  const size = numberOf(mode, 'size', words);
  if (size === 0) throw new Error('--userns auto:size=0: a container has one id at least');
  return { mode, auto: { size, users: given('uidmapping'), groups: given('gidmapping') } };
}

function givenMappings(uidmap: readonly string[], gidmap: readonly string[]): UserNamespaceOptions {
  const users = uidmap.map((text) => parseMapping('--uidmap', text));
  const groups = gidmap.map((text) => parseMapping('--gidmap', text));
  checkMappings('--uidmap', users);
  checkMappings('--gidmap', groups);
  return { mode: 'private', mappings: { users, groups } };
}

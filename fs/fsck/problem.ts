import { type ByteString } from '../sys/bytes.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';

interface Meaning {
  /** Nothing that a user of the mount sees is wrong. */
  readonly harmless?: true;
  /** It is wrong only if the lower layers are the right ones. */
  readonly held?: true;
  /** Why it matters. */
  readonly why: string;
}

const MEANINGS = {
  'layers-overlap': {
    why: 'a change through the mount would show in a layer that must not change; mounting is refused',
  },
  'lowers-differ': {
    why: 'the upper was made on other lower layers; kernel overlayfs refuses it with index=on (ESTALE)',
  },
  'workdir-filesystem': { why: 'files are renamed from the workdir into the upper; mounting is refused' },
  'workdir-unusable': { why: 'mounting is refused' },
  volatile: { why: 'its last mount was volatile and has not ended cleanly: data may be lost; mounting is refused' },
  incompatible: { why: 'kernel overlayfs refuses to mount an upper with a feature that it does not know' },
  temporary: { harmless: true, why: 'left over from a mount that was killed; nobody sees it, it takes space' },
  'foreign-file': { why: 'the workdir is emptied at the next mount, and this goes with it' },
  'index-upper': { why: 'the index belongs to another upper; kernel overlayfs refuses it with index=on (ESTALE)' },
  'index-name': { why: 'no file leads to it; kernel overlayfs refuses the index (EINVAL)' },
  'index-origin': { why: 'kernel overlayfs takes the entry for stale and removes it; hard links come apart' },
  'index-stale': { held: true, harmless: true, why: 'the lower file is gone, so no name leads to the entry any more' },
  'index-orphan': { harmless: true, why: 'all of its names are gone; nobody sees it, it takes space' },
  'index-nlink': { why: 'the link count is wrong, and the file may go with a name that is not its last' },
  'redirect-malformed': { why: 'what it was merged with does not show; kernel overlayfs fails to look it up' },
  'redirect-dangling': { held: true, why: 'what it was merged with does not show' },
  'redirect-duplicate': { why: 'one lower directory shows in two places, with the same inode numbers' },
  'redirect-opaque': { harmless: true, why: 'the directory is opaque, and that wins' },
  'origin-mismatch': {
    why: 'the directory is merged with another one than it was copied from: a redirect or an opaque mark was lost',
  },
  'opaque-value': { harmless: true, why: 'every union ignores it' },
  'mark-misplaced': { harmless: true, why: 'such a mark means nothing on this kind of file' },
  'mark-foreign': { why: 'a mount reads one of trusted.overlay.* and user.overlay.*, and so part of the marks' },
  'owner-record': { why: 'the owner, mode and type show that the file has on the host' },
  'impure-missing': { why: 'inode numbers differ between readdir and stat, and copied-up metadata is taken for data' },
  'origin-malformed': { harmless: true, why: 'every union ignores it' },
  'origin-stale': {
    held: true,
    harmless: true,
    why: 'the lower file is gone, and its inode number may be that of another file',
  },
  'origin-foreign': {
    held: true,
    harmless: true,
    why: 'inode numbers change at copy-up, as nothing tells what they were',
  },
  'origin-type': { held: true, harmless: true, why: 'its inode number may be that of another file' },
  'metacopy-value': { why: 'kernel overlayfs answers EIO for the file' },
  'metacopy-no-data': { why: 'the data of the file is lost' },
  'metacopy-size': { why: 'the lower file has changed: reads are cut short, or end in zeros' },
  'metacopy-digest': { why: 'the lower data is not what was copied up; with verity on, reading it fails' },
  'whiteout-orphan': {
    held: true,
    harmless: true,
    why: 'it hides nothing; where nothing is merged, kernel overlayfs lists a file that is not there',
  },
  'whiteout-doubled': { harmless: true, why: 'the file beside it hides the lower one already' },
  'whiteout-ambiguous': { why: 'some unions merge the directory beside it with the lower one, others do not' },
  'whiteout-not-empty': { why: 'a file that holds data, or a directory, hides another, and nobody sees what is in it' },
  'whiteout-misplaced': { why: 'its directory is not marked as one with such whiteouts: an empty file shows' },
  'whiteout-nameless': { harmless: true, why: 'it hides no name' },
  'too-deep': { why: 'what is below has not been checked' },
} as const satisfies Readonly<Record<string, Meaning>>;

/** What can be wrong. */
export type ProblemKind = keyof typeof MEANINGS;

/** Something that is wrong, as it is told. */
export interface Finding {
  readonly kind: ProblemKind;
  /** `upper`, `workdir`, or `lower 1` for the topmost of the lower layers. */
  readonly layer: string;
  /** From the layer's root, `/` for the root itself. */
  readonly path: ByteString;
  readonly problem: string;
  readonly why: string;
  /** Nothing that a user of the mount sees is wrong. */
  readonly harmless: boolean;
  readonly repairable: boolean;
  /** What a repair does, or why there is none. */
  readonly remedy: string;
}

/** How something is mended: one step that is done whole or not at all. */
export interface Repair {
  readonly text: string;
  /** Answers 0 or a negative errno. */
  readonly act: () => number;
}

/** A finding, and how it is mended; where that cannot be done without loss, why. */
export interface Problem {
  readonly finding: Finding;
  readonly repair: Repair | undefined;
  /** It is wrong only if the lower layers are the right ones. */
  readonly held: boolean;
}

/** A file in a layer. */
export interface Place {
  readonly directory: RealDirectory;
  /** `SELF` for the directory itself. */
  readonly name: ByteString;
}

/** @param remedy a repair, or, where there is none, why. */
export function createProblem(
  kind: ProblemKind,
  layer: string,
  path: ByteString,
  problem: string,
  remedy: Repair | string,
): Problem {
  const meaning: Meaning = MEANINGS[kind];
  const repair = typeof remedy === 'string' ? undefined : remedy;
  const text = typeof remedy === 'string' ? remedy : remedy.text;
  const { why, harmless = false, held = false } = meaning;
  const finding = { kind, layer, path, problem, why, harmless, repairable: repair !== undefined, remedy: text };
  return { finding, repair, held };
}

/** The same problem, which is not mended. */
export function withoutRepair({ finding, held }: Problem, why: string): Problem {
  return { finding: { ...finding, repairable: false, remedy: why }, repair: undefined, held };
}

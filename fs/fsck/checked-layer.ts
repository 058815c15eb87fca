import { Inode } from '../overlay/inode.ts';
import { type Layer } from '../overlay/layer.ts';
import { readMarks } from '../overlay/marks.ts';
import { type Union } from '../overlay/union.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR } from '../sys/constants.ts';
import { Identities } from './identities.ts';
import { pathTo } from './path.ts';
import { type Place, type Problem, type ProblemKind, type Repair, createProblem } from './problem.ts';
import { Repairs } from './repair.ts';

/** A layer that is checked against those below it: the upper, or a lower one, which is never changed. */
export class CheckedLayer {
  /** The union of the lower layers. */
  readonly union: Union;
  readonly layer: Layer;
  /** What is reported calls it so. */
  readonly label: string;
  readonly repairs: Repairs;
  readonly identities: Identities;
  /** `workdir/work` of the upper, or -1. */
  readonly work: number;
  readonly problems: Problem[] = [];
  /** What could not be read, in a line each. */
  readonly failures: string[] = [];
  /** Marks are `PREFIX` and a name. */
  readonly prefix: ByteString;
  readonly otherPrefix: ByteString;
  /** Marks in the namespace that is read, and in the one that is not. */
  ownMarks = 0;
  foreignMarks = 0;
  directories = 0;
  files = 0;
  /** Copied-up files whose origin was looked for, and found, in the layers below. */
  originsSought = 0;
  originsFound = 0;

  constructor(union: Union, layer: Layer, identities: Identities, work: number) {
    this.union = union;
    this.layer = layer;
    this.label = layer.writable ? 'upper' : `lower ${layer.index + 1}`;
    this.repairs = new Repairs(union.fds);
    this.identities = identities;
    this.work = work;
    const prefixes = ['trusted.overlay.', 'user.overlay.'] as const;
    [this.prefix, this.otherPrefix] = union.keepsTrustedXattrs ? prefixes : [prefixes[1], prefixes[0]];
  }

  /** Whether there is something below to hold the layer against. */
  get hasLowers(): boolean {
    return this.layer.index < this.union.lowers.length - 1;
  }

  /** The root directory: the layer's, over those of the layers below that show through. */
  root(): Inode {
    const root = new Inode(0, S_IFDIR, 0, undefined, '');
    root.upper = this.layer.root;
    readMarks(this.union, this.layer.root);
    if (this.layer.root.opaque) return root;
    const below = this.union.inodes.root.lowers.filter(({ layer }) => layer.index > this.layer.index);
    root.lowers = below;
    return root;
  }

  /** @param remedy a repair, or, where there is none, why. */
  report(kind: ProblemKind, { directory, name }: Place, problem: string, remedy: Repair | string): void {
    const allowed = this.layer.writable || typeof remedy === 'string' ? remedy : 'lower layers are never changed';
    this.problems.push(createProblem(kind, this.label, pathTo(directory, name), problem, allowed));
  }
}

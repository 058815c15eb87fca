import { readUuid } from '../overlay/file-handle.ts';
import { Layer } from '../overlay/layer.ts';
import { type OverlayOptions } from '../overlay/options.ts';
import { Union } from '../overlay/union.ts';
import { Attr } from '../sys/attr.ts';
import { close, openat, syncfs } from '../sys/file.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../sys/constants.ts';
import { SELF, getxattrText } from '../sys/xattr.ts';
import { CheckedLayer } from './checked-layer.ts';
import { Identities } from './identities.ts';
import { IndexCheck, isIdentityOf } from './link-index.ts';
import { type FsckOptions } from './options.ts';
import { type Problem, withoutRepair } from './problem.ts';
import { TreeCheck } from './tree.ts';
import { CheckedWorkdir } from './workdir.ts';

/** Copied-up files of which none comes from the layers below, before those are taken for the wrong ones. */
const ENOUGH_ORIGINS = 3;

const DOUBT = 'not while the lower layers may be the wrong ones: give those that the upper was made on';

/** One check of all that is to be checked; what it found can be mended until it is closed. */
export class Check {
  readonly problems: Problem[] = [];
  readonly failures: string[] = [];
  directories = 0;
  files = 0;
  indexEntries = 0;
  readonly #options: FsckOptions;
  readonly #union: Union;
  readonly #upper: Layer | undefined;
  readonly #identities: Identities;
  readonly #workdir: CheckedWorkdir | undefined;
  /** No mark is in the namespace of xattrs that was taken for the union's, but some are in the other. */
  #isOtherNamespace = false;

  private constructor(options: FsckOptions, userXattr: boolean | undefined) {
    this.#options = options;
    const { upper, work } = options.overlay;
    this.#union = new Union({ ...lowersOf(options.overlay), ...(userXattr === undefined ? {} : { userXattr }) });
    this.#upper = upper === undefined ? undefined : new Layer('upperdir', upper, true, new Attr());
    this.#workdir = upper === undefined || work === undefined ? undefined : new CheckedWorkdir(work);
    if (this.#upper !== undefined) this.#upper.uuid = readUuid(this.#upper);
    this.#identities = new Identities(
      this.#upper === undefined ? this.#union.lowers : [this.#upper, ...this.#union.lowers],
    );
  }

  /** Where it is not said which namespace of xattrs the marks are in, the one in which there are some. */
  static run(options: FsckOptions): Check {
    const { userXattr } = options.overlay;
    const check = new Check(options, userXattr);
    check.#run();
    if (userXattr !== undefined || !check.#isOtherNamespace || !check.#union.keepsTrustedXattrs) return check;
    check.close();
    const other = new Check(options, true);
    other.#run();
    return other;
  }

  #run(): void {
    const { allLayers, clearVolatile } = this.#options;
    const upper = this.#upper;
    if (upper !== undefined) {
      const layer = this.#checkTree(upper);
      this.#isOtherNamespace = layer.ownMarks === 0 && layer.foreignMarks > 0;
      if (this.#workdir !== undefined) this.#checkWorkdir(this.#workdir, upper, layer, clearVolatile === true);
      this.#take(layer);
    }
    if (upper !== undefined && allLayers !== true) return;
    for (const lower of this.#union.lowers) this.#take(this.#checkTree(lower));
  }

  #checkTree(layer: Layer): CheckedLayer {
    const checked = new CheckedLayer(this.#union, layer, this.#identities, this.#workdir?.work ?? -1);
    new TreeCheck(checked).run();
    if (checked.foreignMarks > 0 && checked.ownMarks > 0) reportMixed(checked);
    return checked;
  }

  #checkWorkdir(workdir: CheckedWorkdir, upper: Layer, layer: CheckedLayer, clearVolatile: boolean): void {
    workdir.check(upper.dev, clearVolatile);
    const index = new IndexCheck(layer, workdir);
    index.run();
    this.indexEntries = index.entries;
    layer.problems.push(...workdir.problems);
    layer.failures.push(...workdir.failures);
  }

  #take(layer: CheckedLayer): void {
    const isDoubtful = layer.layer.writable && this.#hasOtherLowers(layer);
    const problems = isDoubtful ? layer.problems.map(doubt) : layer.problems;
    this.problems.push(...problems);
    this.failures.push(...layer.failures);
    this.directories += layer.directories;
    this.files += layer.files;
  }

  /** The root's origin, with `index=on`, is the topmost lower layer's root (fs/overlayfs/super.c, ovl_get_indexdir). */
  #hasOtherLowers(layer: CheckedLayer): boolean {
    const [lower] = this.#union.lowers;
    if (lower === undefined) return false;
    const origin = getxattrText(layer.layer.root.fd, SELF, this.#union.originXattr);
    if (typeof origin === 'string' && origin !== '' && !isIdentityOf(origin, lower.root.fd)) {
      const problem = `${this.#union.originXattr} is another directory than the topmost lower layer`;
      const choice = `give the layers that the upper was made on; if these are to be used instead, remove the xattr`;
      layer.report('lowers-differ', { directory: layer.layer.root, name: SELF }, problem, choice);
      return true;
    }
    return layer.originsSought >= ENOUGH_ORIGINS && layer.originsFound === 0;
  }

  /** Brings what was mended to the disk. */
  sync(): void {
    if (this.#upper === undefined) return;
    const fd = openat(this.#upper.root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    syncfs(fd);
    close(fd);
  }

  close(): void {
    this.#identities.close();
    this.#workdir?.close();
    this.#upper?.close();
    this.#union.close();
  }
}

/** Options of a union of the lower layers alone: nothing is opened for writing, and every redirect is followed. */
function lowersOf(overlay: OverlayOptions): OverlayOptions {
  const lowers: { -readonly [Key in keyof OverlayOptions]: OverlayOptions[Key] } = { ...overlay };
  delete lowers.upper;
  delete lowers.work;
  delete lowers.volatile;
  delete lowers.userXattr;
  return { ...lowers, redirectDir: 'follow', metacopy: true };
}

function doubt(problem: Problem): Problem {
  return problem.held && problem.repair !== undefined ? withoutRepair(problem, DOUBT) : problem;
}

function reportMixed(layer: CheckedLayer): void {
  const { ownMarks, foreignMarks, prefix, otherPrefix } = layer;
  const problem = `${ownMarks} marks are ${prefix}* and ${foreignMarks} are ${otherPrefix}*`;
  const choice = 'mount it as it was mounted when it was right, and move what is to be kept to a new upper';
  layer.report('mark-foreign', { directory: layer.layer.root, name: SELF }, problem, choice);
}

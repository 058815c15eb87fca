import { toBytes } from '../../../fs/sys/bytes.ts';
import { problemOfIndex } from '../../../fs/layer-index/check.ts';
import { chainIdsOf, type Digest, digestOfFile } from '../digest.ts';
import { type CatalogEntry } from '../catalog.ts';
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  type Manifest,
  parseConfiguration,
  parseIndex,
  parseManifest,
} from '../manifest.ts';
import { familiarName } from '../reference.ts';
import { type Scratch } from '../scratch.ts';
import { type Store } from '../store.ts';
import { compareLayer, type ImageLayer } from './layer-check.ts';
import { type Repairer } from './repairer.ts';

/** Something that is wrong. */
export interface Problem {
  /** `blob sha256:...`, `layer sha256:...`, `image debian:12`. */
  readonly subject: string;
  readonly problem: string;
  /** What can be done; where it has been tried in vain, why. */
  readonly remedy: string;
  readonly repaired: boolean;
}

export interface CheckOptions {
  /** No content of layers is read, packed or unpacked. */
  readonly quick: boolean;
  readonly repairer: Repairer | undefined;
  /** Is told of each problem as it is found. */
  readonly report: (problem: Problem) => void;
}

/** What was looked at. */
export interface CheckCounts {
  readonly images: number;
  readonly blobs: number;
  readonly layers: number;
}

/** A blob, who needs it, and where it can be had. */
interface Needed {
  readonly descriptor: Descriptor;
  readonly user: string;
  readonly origins: readonly string[];
}

type Mend = () => Promise<void> | undefined;

const nothing = (): undefined => undefined;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function problemOfIndexOf(layer: string, deep: boolean): string | undefined {
  try {
    return problemOfIndex(toBytes(layer), deep);
  } catch (error) {
    return `cannot be compared with the layer: ${messageOf(error)}`;
  }
}

const INDEX_DEPTH = 4;

/** Checks all that a store has of images: documents, blobs, unpacked layers. The caller keeps content from being collected. */
export class StoreCheck {
  readonly #store: Store;
  readonly #scratch: Scratch;
  readonly #options: CheckOptions;
  readonly #blobs = new Map<Digest, boolean>();
  /** By chainID, the lower ones before those above them. */
  readonly #layers = new Map<Digest, ImageLayer>();
  /** Layers in which something is left. */
  readonly #broken = new Set<Digest>();
  readonly #images = new Set<Digest>();

  constructor(store: Store, scratch: Scratch, options: CheckOptions) {
    this.#store = store;
    this.#scratch = scratch;
    this.#options = options;
  }

  async run(): Promise<CheckCounts> {
    for (const entry of this.#store.entries()) await this.#checkEntry(entry);
    for (const digest of this.#store.layout.digests()) await this.#checkSpare(digest);
    const unpacked = [...this.#layers].filter(([chainId]) => this.#isExpected(chainId));
    for (const [chainId, layer] of unpacked) await this.#checkLayer(chainId, layer);
    return { images: this.#images.size, blobs: this.#blobs.size, layers: unpacked.length };
  }

  /** @returns whether it was repaired. */
  async #tell(subject: string, problem: string, remedy: string, mend?: Mend): Promise<boolean> {
    const { repairer, report } = this.#options;
    let outcome = remedy;
    let repaired = false;
    if (repairer !== undefined && mend !== undefined) {
      try {
        await mend();
        repaired = true;
      } catch (error) {
        outcome = `could not be repaired: ${messageOf(error)}`;
      }
    }
    report({ subject, problem, remedy: outcome, repaired });
    return repaired;
  }

  async #checkEntry({ descriptor, name, repoDigests }: CatalogEntry): Promise<void> {
    const user = `image ${name === undefined ? descriptor.digest : familiarName(name)}`;
    await this.#checkDocument({ descriptor, user, origins: repoDigests }, 0);
  }

  async #checkDocument(needed: Needed, depth: number): Promise<void> {
    const { descriptor } = needed;
    const { digest, mediaType } = descriptor;
    if (!(await this.#checkBlob(needed, true))) return;
    try {
      if (isIndexType(mediaType)) await this.#checkIndex(needed, depth);
      else if (isManifestType(mediaType)) await this.#checkManifest(needed);
    } catch (error) {
      // Its digest is right: it came like this, and is no image.
      const why = messageOf(error);
      await this.#tell(needed.user, `cannot be understood: ${why}`, `remove it: lamina rmi ${digest}`);
    }
  }

  /** Of an index, others may have fetched what is for one platform alone. */
  async #checkIndex({ descriptor: { digest }, user, origins }: Needed, depth: number): Promise<void> {
    if (depth === INDEX_DEPTH) throw new Error(`its indexes lie within each other more than ${INDEX_DEPTH} deep`);
    const entries = parseIndex(this.#store.layout.readDocument(digest), `index ${digest}`);
    const there = entries.filter((entry) => this.#store.layout.has(entry.digest));
    for (const descriptor of there.length === 0 ? entries.slice(0, 1) : there) {
      await this.#checkDocument({ descriptor, user, origins }, depth + 1);
    }
  }

  async #checkManifest({ descriptor: { digest }, user, origins }: Needed): Promise<void> {
    const manifest = this.#parseImage(digest);
    if (manifest === undefined) return;
    this.#images.add(digest);
    const { config } = manifest;
    const hasConfig = await this.#checkBlob({ descriptor: config, user, origins }, true);
    for (const descriptor of manifest.layers) await this.#checkBlob({ descriptor, user, origins }, false);
    if (hasConfig) this.#noteLayers(manifest);
  }

  /** Undefined for a signature and the like, which is none of ours. */
  #parseImage(digest: Digest): Manifest | undefined {
    try {
      return parseManifest(this.#store.layout.readDocument(digest), `manifest ${digest}`);
    } catch {
      return undefined;
    }
  }

  #noteLayers({ config, layers }: Manifest): void {
    const bytes = this.#store.layout.readDocument(config.digest);
    const { diffIds } = parseConfiguration(bytes, `configuration ${config.digest}`);
    if (diffIds.length !== layers.length) {
      throw new Error(`it has ${layers.length} layers, where its configuration names ${diffIds.length}`);
    }
    const chainIds = chainIdsOf(diffIds);
    layers.forEach(({ digest }, at) => {
      const [chainId, diffId] = [chainIds[at], diffIds[at]];
      if (chainId === undefined || diffId === undefined) return;
      const isBetter = this.#blobs.get(this.#layers.get(chainId)?.blob ?? digest) !== true;
      if (isBetter || !this.#layers.has(chainId)) {
        this.#layers.set(chainId, { blob: digest, diffId, chainIds: chainIds.slice(0, at + 1) });
      }
    });
  }

  /** @param isRead its content is needed to go on, and it is small. */
  async #checkBlob({ descriptor, user, origins }: Needed, isRead: boolean): Promise<boolean> {
    const { digest } = descriptor;
    const known = this.#blobs.get(digest);
    if (known !== undefined) return known;
    const problem = await this.#problemOf(descriptor, isRead || !this.#options.quick);
    let isGood = problem === undefined;
    if (problem !== undefined) {
      const remedy =
        origins.length > 0
          ? `--repair fetches it from ${origins.join(' or ')}`
          : 'load or pull the image again, or remove it with lamina rmi';
      isGood = await this.#tell(`blob ${digest} of ${user}`, problem, remedy, () =>
        this.#options.repairer?.fetch(descriptor, origins),
      );
    }
    this.#blobs.set(digest, isGood);
    return isGood;
  }

  async #problemOf({ digest, size }: Descriptor, isRead: boolean): Promise<string | undefined> {
    const { layout } = this.#store;
    const found = layout.sizeOf(digest);
    if (found === undefined) return 'is missing';
    if (found !== size) return `has ${found} bytes, where ${size} are expected`;
    if (!isRead) return undefined;
    const actual = await digestOfFile(layout.path(digest));
    return actual === digest ? undefined : `has another content: its digest is ${actual}`;
  }

  /** A blob that no image has found use for. */
  async #checkSpare(digest: Digest): Promise<void> {
    if (this.#blobs.has(digest) || this.#options.quick) return;
    const { layout } = this.#store;
    const isGood = (await digestOfFile(layout.path(digest))) === digest;
    this.#blobs.set(digest, isGood);
    if (isGood) return;
    const remedy = 'no image needs it: lamina system prune removes it';
    await this.#tell(`blob ${digest}`, 'has another content', remedy, () => {
      layout.remove(digest);
      return undefined;
    });
  }

  /** What is there, and what must be there, since a layer above it is. */
  #isExpected(chainId: Digest): boolean {
    const { layers } = this.#store;
    return [...this.#layers].some(([above, { chainIds }]) => chainIds.includes(chainId) && layers.has(above));
  }

  async #checkLayer(chainId: Digest, layer: ImageLayer): Promise<void> {
    const { layers } = this.#store;
    const subject = `layer ${chainId}`;
    const canRemake = this.#blobs.get(layer.blob) === true;
    const remedy = canRemake ? '--repair unpacks it again' : 'its archive is to be repaired first';
    const mend: Mend | undefined = canRemake ? () => this.#options.repairer?.remake(layer) : undefined;
    const problem = await this.#problemOfLayer(layer, layers.has(chainId), canRemake);
    if (problem !== undefined) {
      const isMended = await this.#tell(subject, problem, remedy, mend);
      if (!isMended) this.#broken.add(chainId);
    } else if (!layers.hasRecord(chainId)) {
      await this.#tell(subject, 'has lost the record of its size', remedy, mend);
    }
    if (problem === undefined) await this.#checkLayerIndex(chainId);
  }

  /** A layer without one, such as an older program left, is no worse; but a repair is the time to give it one. */
  async #checkLayerIndex(chainId: Digest): Promise<void> {
    const { layers } = this.#store;
    const { quick, repairer } = this.#options;
    // Of a layer that was not compared, an index might tell what is damaged as if it were so.
    const mend: Mend | undefined = quick ? undefined : () => repairer?.index(chainId);
    const remedy = quick ? '--repair writes it anew, without --quick' : '--repair writes it anew';
    const problem =
      layers.indexSize(chainId) === 0
        ? await mend?.()?.then(nothing, (error: unknown) => `is not there, and cannot be made: ${messageOf(error)}`)
        : problemOfIndexOf(layers.path(chainId), !quick);
    if (problem !== undefined) await this.#tell(`index of layer ${chainId}`, problem, remedy, mend);
  }

  async #problemOfLayer(layer: ImageLayer, isThere: boolean, canCompare: boolean): Promise<string | undefined> {
    if (!isThere) return 'is missing, though layers above it are there';
    if (this.#options.quick || !canCompare) return undefined;
    // Directories that an archive takes for granted look as below: what is wrong there would be found here again.
    if (layer.chainIds.some((chainId) => this.#broken.has(chainId) || !this.#store.layers.has(chainId)))
      return undefined;
    try {
      const differences = await compareLayer(this.#store, this.#scratch, layer);
      return differences.length === 0 ? undefined : `is not what its archive unpacks to: ${differences.join('; ')}`;
    } catch (error) {
      return `cannot be compared with its archive: ${messageOf(error)}`;
    }
  }
}

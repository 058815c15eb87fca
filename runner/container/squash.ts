import { toBytes } from '../../fs/sys/bytes.ts';
import { type Digest, hexOf } from '../image/digest.ts';
import { toLayer } from '../image/docker-archive.ts';
import { type Image } from '../image/image.ts';
import { ingest } from '../image/ingest.ts';
import { asObject, isObject, type JsonObject, parseJson } from '../image/json.ts';
import { type Limits } from '../image/limits.ts';
import { parseManifest } from '../image/manifest.ts';
import { type NewImage, type NewLayer } from '../image/new-image.ts';
import { type Scratch } from '../image/scratch.ts';
import { spoolFile, type SpooledFile } from '../image/spool.ts';
import { type Store } from '../image/store.ts';
import { unpackedImage } from '../image/unpack-image.ts';
import { type Warnings } from '../image/warnings.ts';
import { packRange } from './pack-range.ts';

/** How layers of an image become one. */
export interface SquashOptions {
  /** How many, from the topmost down; or the digits, all or the first, of the diffID of the layer above which all go. */
  readonly from?: string | undefined;
  /** A full name for the new image. */
  readonly name?: string | undefined;
  /** For the history. */
  readonly message?: string | undefined;
  readonly limits: Limits;
  readonly warnings: Warnings;
}

/**
 * Makes an image that shows the same with fewer layers. The same image gives the same one each time.
 *
 * @returns the new image's id.
 */
export async function squashImage(store: Store, reference: string, options: SquashOptions): Promise<Digest> {
  const lock = store.lockContent();
  const scratch = store.scratch();
  let isWhole = false;
  try {
    const image = await unpackedImage(store, reference, options.warnings, options.limits);
    const kept = keptCount(image, options.from);
    const file = await packAbove(store, scratch, image, kept, options.warnings);
    const { platform } = image;
    const [id] = await ingest(store, scratch, [newImage(store, image, kept, file, options)], { ...options, platform });
    if (id === undefined) throw new Error('the image was not entered');
    isWhole = true;
    return id;
  } finally {
    scratch.remove();
    lock.release();
    if (!isWhole) store.collect();
  }
}

/** Layers that stay as they are. */
function keptCount({ diffIds }: Image, from: string | undefined): number {
  const kept = from === undefined ? 0 : keptBelow(diffIds, from);
  const count = diffIds.length - kept;
  if (count >= 2) return kept;
  throw new Error(`it has ${diffIds.length} layers, and ${count} of them to squash: there is nothing to do`);
}

function keptBelow(diffIds: readonly Digest[], from: string): number {
  if (/^\d{1,4}$/.test(from)) {
    if (Number(from) <= diffIds.length) return diffIds.length - Number(from);
    throw new Error(`it has ${diffIds.length} layers, not ${from}`);
  }
  const digits = from.replace(/^sha256:/, '');
  const found = diffIds.flatMap((diffId, at) => (digits !== '' && hexOf(diffId).startsWith(digits) ? [at] : []));
  const [at] = found;
  if (at === undefined) throw new Error(`it has no layer ${from}; "lamina image inspect" lists them under RootFS`);
  if (found.length > 1)
    throw new Error(`${found.length} of its layers are ${from}; give more digits, or a number of layers`);
  return at + 1;
}

function packAbove(
  store: Store,
  scratch: Scratch,
  { chainIds }: Image,
  kept: number,
  warnings: Warnings,
): Promise<SpooledFile> {
  const range = chainIds
    .slice(kept)
    .toReversed()
    .map((chainId) => toBytes(store.layers.path(chainId)));
  const lowers = store.layers.stack(chainIds.slice(0, kept)).map(toBytes);
  return spoolFile(scratch.next(), packRange(range, lowers, { warnings }));
}

function newImage(
  store: Store,
  image: Image,
  kept: number,
  file: SpooledFile,
  { name, message }: SquashOptions,
): NewImage {
  const where = `configuration ${image.id}`;
  const document = asObject(parseJson(store.layout.readDocument(image.id), where), where);
  const squashed = image.diffIds.length - kept;
  const config = {
    ...document,
    rootfs: { type: 'layers', diff_ids: [...image.diffIds.slice(0, kept), file.digest] },
    history: historyOf(document, image, kept, message ?? `${squashed} layers squashed into one`),
  };
  const layers = [...keptLayers(store, image, kept), toLayer(file)];
  const names = name === undefined ? [] : [name];
  return { names, title: name ?? image.id, config: Buffer.from(JSON.stringify(config)), manifest: undefined, layers };
}

/** What made the layers that are one now is still told, as what made none by itself. */
function historyOf(document: JsonObject, { created, diffIds }: Image, kept: number, comment: string): JsonObject[] {
  const before = Array.isArray(document['history']) ? document['history'].filter(isObject) : [];
  const squash = { ...(created === undefined ? {} : { created }), created_by: 'lamina squash', comment };
  const ofLayers = before.filter((entry) => entry['empty_layer'] !== true);
  // Some builders write none, or not of all layers: then nothing is known of which is whose. An entry for each layer there
  // must be all the same.
  if (ofLayers.length !== diffIds.length) return [...Array.from({ length: kept }, () => ({ created_by: '' })), squash];
  const gone = new Set(ofLayers.slice(kept));
  return [...before.map((entry) => (gone.has(entry) ? { ...entry, empty_layer: true } : entry)), squash];
}

function keptLayers(store: Store, { manifests: [manifest] }: Image, kept: number): NewLayer[] {
  if (manifest === undefined) throw new Error('it has no manifest');
  const { layers } = parseManifest(store.layout.readDocument(manifest), `manifest ${manifest}`);
  return layers.slice(0, kept).map(({ digest, size }) => toLayer({ path: store.layout.path(digest), digest, size }));
}

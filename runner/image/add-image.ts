import { type ByteSource } from './compression.ts';
import { type Digest } from './digest.ts';
import { ingest } from './ingest.ts';
import { type Image } from './image.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { MEDIA_TYPE } from './manifest.ts';
import { hostPlatform, type Platform } from './platform.ts';
import { fullName, parseReference } from './reference.ts';
import { type Scratch } from './scratch.ts';
import { spoolFile, type SpooledFile } from './spool.ts';
import { type Store } from './store.ts';
import { Warnings } from './warnings.ts';

/** An image made on this machine. */
export interface ImageSource {
  readonly name: string;
  /** Uncompressed tar archives, the bottom layer first. */
  readonly layers: readonly ByteSource[];
  readonly env?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly workingDir?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Takes layers made on this machine into the store as an image, the same way as those of an archive. */
export async function addImage(store: Store, source: ImageSource, warnings = new Warnings()): Promise<Image> {
  const name = fullName(parseReference(source.name));
  const platform = hostPlatform();
  const scratch = store.scratch();
  try {
    const files = await spoolLayers(scratch, source.layers);
    const config = createConfig(
      source,
      files.map(({ digest }) => digest),
      platform,
    );
    const layers = files.map((file) => ({ file, mediaType: MEDIA_TYPE.layer }));
    const image = { names: [name], title: source.name, config, manifest: undefined, layers };
    await ingest(store, scratch, [image], { platform, limits: DEFAULT_LIMITS, warnings });
  } finally {
    scratch.remove();
  }
  return store.resolve(name);
}

async function spoolLayers(scratch: Scratch, layers: readonly ByteSource[]): Promise<SpooledFile[]> {
  const files: SpooledFile[] = [];
  for (const layer of layers) files.push(await spoolFile(scratch.next(), layer));
  return files;
}

// No time of creation: the same layers make the same image.
function createConfig(source: ImageSource, diffIds: readonly Digest[], { os, architecture }: Platform): Buffer {
  const config = {
    Env: source.env,
    Entrypoint: source.entrypoint,
    Cmd: source.cmd,
    WorkingDir: source.workingDir,
    Labels: source.labels,
  };
  return Buffer.from(JSON.stringify({ os, architecture, config, rootfs: { type: 'layers', diff_ids: diffIds } }));
}

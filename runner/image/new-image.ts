import { type Digest } from './digest.ts';
import { type Growth } from './growing-file.ts';
import { type SpooledFile } from './spool.ts';

/** A file that is being fetched. */
interface ComingFile {
  /** Begins to read it; rejects at its end where the bytes turn out to be others than those expected. */
  read(): Growth;
  /** Settled once the file is whole and checked. */
  readonly done: Promise<unknown>;
  /** Whoever has read of it was ended by something else. */
  abandon(): void;
}

/** A layer that waits to be unpacked: its archive as it came, perhaps compressed. */
export interface NewLayer {
  readonly file: SpooledFile;
  readonly mediaType: string;
  /** The archive is still on its way. */
  readonly coming?: ComingFile | undefined;
}

/** An image read from an archive, nothing of it in the store yet. */
export interface NewImage {
  /** Full names. */
  readonly names: readonly string[];
  /** What it was pulled by: `docker.io/library/debian@sha256:...`. */
  readonly repoDigests?: readonly string[];
  /** For messages: a name, or what else the archive calls it. */
  readonly title: string;
  readonly config: Buffer;
  /** As the archive has it; one is made where it has none. */
  readonly manifest: { readonly bytes: Buffer; readonly mediaType: string } | undefined;
  /** The bottom one first. */
  readonly layers: readonly NewLayer[];
}

/** Checks a file against what refers to it. */
export function checkFile(file: SpooledFile, digest: Digest, size: number | undefined, what: string): void {
  if (size !== undefined && file.size !== size) {
    throw new Error(`${what} ${digest} has ${file.size} bytes, where ${size} are expected`);
  }
  if (file.digest !== digest) throw new Error(`${what} ${digest} has another content: its digest is ${file.digest}`);
}

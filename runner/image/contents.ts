import { type SpooledFile } from './spool.ts';

/** The files of images that are to be loaded, whatever holds them. What is asked for is on disk, its digest known. */
export interface ArchiveContents {
  readonly isEmpty: boolean;
  /** Whether all of it could be read. */
  readonly complete: boolean;
  /** The file of that name, over links within. */
  find(name: string): SpooledFile | undefined;
  /** The file of that name, or an error that says what it is for. */
  require(name: string, what: string): SpooledFile;
  /** Content of a manifest, index or configuration. */
  readDocument(file: SpooledFile): Buffer;
  /** A few names, for a message about what is of no known kind. */
  sample(): string;
}

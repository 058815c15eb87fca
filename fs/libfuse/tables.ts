import { type Entry, type FileSystem, NO_HANDLE, type Opened } from '../filesystem.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { NodeReferences } from './node-references.ts';
import { OpenFiles } from './open-files.ts';
import { PathCache } from './path-cache.ts';
import { Placeholders } from './placeholders.ts';

/** What stands for what, of one mount: paths, handles and placeholders for nodes. */
export class Tables {
  readonly entry: Entry = { node: 0, generation: 0, attr: new Attr(), attributesLast: true };
  readonly opened: Opened = { handle: NO_HANDLE, keepCache: false, directIo: false, backing: 0 };
  readonly paths: PathCache;
  readonly files: OpenFiles;
  // One table for each kind of handle: nobody promises that their numbers differ.
  readonly directories: OpenFiles;
  /** Handles of files that were opened with O_DIRECT. */
  readonly unbuffered = new Set<number>();
  readonly placeholders: Placeholders;

  constructor(fs: FileSystem) {
    const references = new NodeReferences(fs);
    this.paths = new PathCache(fs, references, this.entry);
    this.files = new OpenFiles(references);
    this.directories = new OpenFiles(references);
    this.placeholders = new Placeholders(references);
  }

  /** The node of a path, or a negative errno. */
  node(path: ByteString): number {
    return this.placeholders.find(path) ?? this.paths.resolve(path);
  }
}

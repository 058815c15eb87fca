import { dockerDirectoryFiles } from './archive/docker-directory.ts';
import { dockerFiles } from './archive/docker.ts';
import { type ArchiveFiles } from './archive/files.ts';
import { ociFiles } from './archive/oci.ts';
import { writeDirectoryWhole, writeOutput } from './archive/output.ts';
import { packTar } from './archive/pack-tar.ts';
import { findSavedImages, type SavedImage } from './archive/saved-image.ts';
import { type Store } from './store.ts';

/** What `lamina save` writes, in podman's words. */
export const SAVE_FORMATS = ['docker-archive', 'oci-archive', 'oci-dir', 'docker-dir'] as const;

export type SaveFormat = (typeof SAVE_FORMATS)[number];

export interface SaveOptions {
  readonly format: SaveFormat;
  /** Layers as plain tar archives, whatever the store has; docker-archive always has them so. */
  readonly uncompressed: boolean;
  /** A path, or the number of an open file. */
  readonly output: string | number;
}

/** Writes images to an archive or a directory; to a path, all of it or nothing. */
export async function saveImages(store: Store, references: readonly string[], options: SaveOptions): Promise<void> {
  const lock = store.lockContent();
  try {
    const images = findSavedImages(store, references);
    const files = filesOf(store, images, options);
    if (options.format.endsWith('-dir')) {
      if (typeof options.output === 'number') throw new Error(`${options.format} needs a directory to write: -o DIR`);
      await writeDirectoryWhole(options.output, files);
    } else await writeOutput(options.output, packTar(files));
  } finally {
    lock.release();
  }
}

function filesOf(store: Store, images: readonly SavedImage[], { format, uncompressed }: SaveOptions): ArchiveFiles {
  switch (format) {
    case 'docker-archive':
      return dockerFiles(store, images);
    case 'oci-archive':
    case 'oci-dir':
      return ociFiles(store, images, uncompressed);
    case 'docker-dir': {
      const [image, ...others] = images;
      if (image === undefined || others.length > 0) throw new Error('docker-dir holds one image alone; give one name');
      return dockerDirectoryFiles(store, image, uncompressed);
    }
  }
}

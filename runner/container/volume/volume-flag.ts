import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseModes } from './mount-modes.ts';
import { type BindRequest, type VolumeRequest, checkDestination } from './mount-request.ts';
import { checkVolumeName } from './volume-name.ts';

/**
 * `[SOURCE:]DESTINATION[:MODES]`, as docker's and podman's -v: the source a path of the host, which begins with `/` or `.`,
 * or a volume's name; without it a new volume.
 */
export function parseVolume(text: string): BindRequest | VolumeRequest {
  try {
    return readVolume(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`volume ${JSON.stringify(text)}: ${why}`, { cause: error });
  }
}

function readVolume(text: string): BindRequest | VolumeRequest {
  const parts = text.split(':');
  if (parts.length > 3) throw new Error('it is not [SOURCE:]DESTINATION[:MODES]');
  if (parts.length === 1) return { type: 'volume', destination: checkDestination(text), readOnly: false };
  const [source = '', path = '', modes = ''] = parts;
  if (source === '') throw new Error('the source is empty');
  const destination = checkDestination(path);
  const { noCopy, ...attributes } = parseModes(modes);
  if (!/^[./]/.test(source)) {
    const name = checkVolumeName(source);
    return { type: 'volume', name, destination, ...attributes, ...(noCopy === true ? { noCopy } : {}) };
  }
  if (noCopy === true) throw new Error('mode nocopy is for volumes, and not for a path of the host');
  return { type: 'bind', source: existingSource(source), destination, ...attributes };
}

/** The absolute path of something that is there to be bound, without symlinks. */
export function existingSource(source: string): string {
  try {
    return realpathSync(resolve(source));
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file or directory' : String(error);
    throw new Error(`cannot bind ${source} into the container: ${why}`, { cause: error });
  }
}

import { type TmpfsRequest, checkDestination } from './mount-request.ts';

const FLAGS: Readonly<Record<string, Partial<TmpfsRequest>>> = {
  ro: { readOnly: true },
  exec: { exec: true },
  suid: { suid: true },
  dev: { dev: true },
  tmpcopyup: { copyUp: true },
};

// Docker's defaults, podman's names for leaving something out, and what a tmpfs has anyway.
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'rw',
  'noexec',
  'nosuid',
  'nodev',
  'notmpcopyup',
  'private',
  'rprivate',
  'U',
]);

// Documentation/filesystems/tmpfs.rst.
const DATA = /^(?:size|nr_blocks|nr_inodes|mode|uid|gid|huge|mpol)=[\w%:,.-]+$/;

/** `PATH[:OPTIONS]`, as docker's --tmpfs. */
export function parseTmpfs(text: string): TmpfsRequest {
  const at = text.indexOf(':');
  const [path, options] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  try {
    return tmpfsOf(checkDestination(path), options === '' ? [] : options.split(','));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`tmpfs ${JSON.stringify(text)}: ${why}`, { cause: error });
  }
}

/** @throws where an option is unknown. */
export function tmpfsOf(destination: string, options: readonly string[]): TmpfsRequest {
  let request: TmpfsRequest = { type: 'tmpfs', destination, readOnly: false, data: [] };
  for (const option of options) {
    const change = Object.hasOwn(FLAGS, option) ? FLAGS[option] : undefined;
    if (change !== undefined) request = { ...request, ...change };
    else if (DATA.test(option)) request = { ...request, data: [...request.data, option] };
    else if (!WITHOUT_EFFECT.has(option)) throw new Error(`option ${JSON.stringify(option)} is none of a tmpfs`);
  }
  return request;
}

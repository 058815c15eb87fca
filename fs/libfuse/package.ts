import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { keepLibrary } from '../sys/foreign-memory.ts';

// The npm package fuse-native (libfuse 2.9 with a binding for Node), an optional dependency. It is loaded only when it is
// asked for. We use its binding and not the class around it: that one decodes paths as UTF-8, and cuts times to
// milliseconds and inode numbers to 32 bits, where the binding has all of them.

/** What fuse-native calls for one operation: the request's memory, the operation's number, and its own decoding. */
export type NativeHandler = (request: Buffer, operation: number, ...decoded: unknown[]) => void;

/** Ends a request: the FUSE thread that waits for it goes on. */
type Reply = (request: Buffer, result: number) => void;
/** As `Reply`, and detaches the buffer through which fuse-native showed us the kernel's data. */
type XattrReply = (request: Buffer, result: number, data: ArrayBufferLike) => void;

/** The native part of fuse-native 2.2.6, as far as we use it. */
export interface Binding extends Readonly<Record<`op_${string}`, number>> {
  readonly sizeof_fuse_thread_t: number;
  fuse_native_mount(
    mountpoint: string,
    options: string,
    thread: Buffer,
    context: object,
    allocate: (size: number) => Buffer,
    handlers: readonly NativeHandler[],
    implemented: Uint32Array,
  ): void;
  fuse_native_unmount(mountpoint: string, thread: Buffer): void;
  readonly fuse_native_signal_access: Reply;
  readonly fuse_native_signal_getxattr: XattrReply;
}

/** What we know the memory layout of. */
const VERSION = '2.2.6';
/** fuse-native's own dependency that finds its build, resolved from there. */
const LOADER = 'node-gyp-build';

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error);
}

function locate(): string {
  try {
    return createRequire(import.meta.url).resolve('fuse-native/package.json');
  } catch (error) {
    if (codeOf(error) !== 'MODULE_NOT_FOUND') throw error;
    throw new Error(
      `the backend fuse-native needs the npm package fuse-native, which is not installed: npm install fuse-native@${VERSION}`,
      { cause: error },
    );
  }
}

/** Loads fuse-native; throws one line that says what to do where it is not there or not usable. */
export function loadBinding(): Binding {
  const description = locate();
  const require = createRequire(description);
  const { version } = require('./package.json') as { readonly version: string };
  if (version !== VERSION) {
    throw new Error(
      `fuse-native ${version} is installed, and lamina knows ${VERSION}: npm install fuse-native@${VERSION}`,
    );
  }
  if (process.arch !== 'x64') {
    throw new Error(`fuse-native has no build for ${process.arch}: use the default backend (device)`);
  }
  try {
    return load(require, dirname(description));
  } catch (error) {
    throw new Error(
      `fuse-native cannot be loaded: ${messageOf(error)} (apt-get install libfuse2; npm rebuild fuse-native)`,
      {
        cause: error,
      },
    );
  }
}

/** The binding needs libfuse.so.2: the system's, which knows where its fusermount is, or else the package's own. */
function load(require: NodeJS.Require, directory: string): Binding {
  const build = require(LOADER) as (directory: string) => Binding;
  try {
    return build(directory);
  } catch (error) {
    if (codeOf(error) !== 'ERR_DLOPEN_FAILED') throw error;
    keepLibrary(`${directory}/prebuilds/linux-x64/libfuse.so`);
    return build(directory);
  }
}

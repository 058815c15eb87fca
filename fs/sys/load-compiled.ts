import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { Script } from 'node:vm';

// To compile our own files takes a start longer than to run them. V8 can keep what it has compiled; what Node has for that
// (module.enableCompileCache) is not there in Node 20, does not reach threads, and keeps nothing where a process ends by
// _exit(2) or becomes another by execve(2), as ours do. So a file is compiled whole when it is first met, and what came of
// that is kept at once.

/** Where the files of this program are. */
const ROOT = join(import.meta.dirname, '../..');
const BESIDE = '.compiled';
const OTHERS_MAY_WRITE = 0o022;
const OTHERS_MAY_ANYTHING = 0o077;
/** What V8 itself does not tell apart, or would refuse only when it has been read. */
const SUFFIX = `-${process.version}-${process.arch}`;

/** Of node:module; all tools that compile what is loaded put theirs in its place. */
interface Loader {
  _compile: (this: Module, source: string, path: string, ...more: unknown[]) => unknown;
}

type Wrapper = (
  this: unknown,
  exports: unknown,
  require: (id: string) => unknown,
  module: Module,
  path: string,
  directory: string,
) => unknown;

/**
 * The directory of what is kept. What lies in it is executed: so it is ours alone to write, or beside the program, whose
 * owner could as well change that.
 */
function findDirectory(): string | undefined {
  const beside = `${ROOT}/${BESIDE}`;
  const { uid } = statSync(ROOT);
  const isThere = isTrusted(beside, uid, OTHERS_MAY_WRITE);
  if (isThere) return beside;
  if (uid !== process.geteuid?.()) return inHome();
  makeDirectory(beside, 0o755);
  return isTrusted(beside, uid, OTHERS_MAY_WRITE) ? beside : undefined;
}

function inHome(): string | undefined {
  const { HOME: home = '', XDG_CACHE_HOME: cache = join(home, '.cache') } = process.env;
  const own = process.geteuid?.();
  // sudo may leave it another's.
  if (own === undefined || home === '' || statSync(home).uid !== own) return undefined;
  const directory = join(cache, 'lamina', 'compiled');
  makeDirectory(directory, 0o700);
  return isTrusted(directory, own, OTHERS_MAY_ANYTHING) ? directory : undefined;
}

function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch {
    // Then nothing is kept.
  }
}

function isTrusted(directory: string, owner: number, forbidden: number): boolean {
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === owner && (stat.mode & forbidden) === 0;
}

/** Packages may lean on more of Node than is done here. */
function isOurs(path: string): boolean {
  return path.startsWith(ROOT) && path[ROOT.length] === sep;
}

/** V8 looks at the length of a source alone: a file that was written anew has another inode, or another ctime. */
function keyOf(path: string): string {
  const { ino, size, ctimeMs } = statSync(path);
  return `${stemOf(path)}${ino}-${size}-${ctimeMs}${SUFFIX}`;
}

function stemOf(path: string): string {
  return `${path.slice(ROOT.length + 1).replaceAll(sep, '_')}-`;
}

function readKept(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** For all who come after: a failure is nobody's. */
function keep(directory: string, path: string, key: string, data: Buffer): void {
  try {
    const aside = join(directory, `${key}.${process.pid}`);
    // V8 does not look whether what it reads is whole.
    const fd = openSync(aside, 'wx', 0o644);
    try {
      writeFileSync(fd, data);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, join(directory, key));
    removeOlder(directory, stemOf(path), key);
  } catch {
    // It is compiled again the next time.
  }
}

/** What was kept of the same file, and all that is older than the program: of another one it is kept again. */
function removeOlder(directory: string, stem: string, key: string): void {
  const installed = statSync(ROOT).ctimeMs;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isOlder = name.startsWith(stem) && name.endsWith(SUFFIX);
    if (name !== key && (isOlder || statSync(path).mtimeMs < installed)) unlinkSync(path);
  }
}

/** With all its functions, of which V8 would leave most until they are called. */
function compileWhole(make: () => Script): Script {
  // Loaded where it is needed, once.
  const { setFlagsFromString } = createRequire(import.meta.url)('node:v8') as typeof import('node:v8');
  setFlagsFromString('--no-lazy');
  try {
    return make();
  } finally {
    setFlagsFromString('--lazy');
  }
}

function compile(directory: string, source: string, path: string): Script {
  const key = keyOf(path);
  const cachedData = readKept(join(directory, key));
  const make = (): Script =>
    new Script(Module.wrap(source.replace(/^#!/, '//')), {
      filename: path,
      ...(cachedData === undefined ? {} : { cachedData }),
    });
  if (cachedData !== undefined) return make();
  const script = compileWhole(make);
  keep(directory, path, key, script.createCachedData());
  return script;
}

function run(module: Module, script: Script, path: string): unknown {
  const wrapper = script.runInThisContext() as Wrapper;
  const require = (id: string): unknown => module.require(id) as unknown;
  return wrapper.call(module.exports, module.exports, require, module, path, dirname(path));
}

/** From here on, files that have been compiled before are loaded as that. */
function install(directory: string): void {
  const loader = Module.prototype as unknown as Loader;
  const { _compile: compilePlain } = loader;
  loader._compile = function (source, path, ...more) {
    if (!isOurs(path)) return compilePlain.call(this, source, path, ...more);
    return run(this, compile(directory, source, path), path);
  };
}

const directory = findDirectory();
if (directory !== undefined) install(directory);

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { type CodeSplittingGroup, type OutputOptions, type Plugin, type RolldownOptions, defineConfig } from 'rolldown';

// The sources become few files: to find, read and compile a module costs a start more than most modules do by running.
// They are CommonJS, which Node loads at once and by far fewer steps than ECMAScript modules; dist/package.json says so.

const ROOT = import.meta.dirname;

/** What other programs import. */
const LIBRARY = 'fs/index';

/** That, and what is started by its own name. */
const PROGRAMS = [
  'cli/lamina',
  'cli/fuse-lamina',
  LIBRARY,
  'runner/container/supervisor/main',
  'runner/doctor/trial/main',
];

const BENCHMARKS = ['bench/main', 'bench/image/main'];

/** Threads and processes of which one command starts several: a file each, with all that it uses and nothing else. */
const HELPERS = [
  'fs/worker',
  'fs/aside-worker',
  'fs/directories-worker',
  'fs/overlay/slow-worker',
  'fs/overlay/copy-ahead-worker',
  'runner/container/exec/exec-spawner',
  'runner/container/exec/stage',
  'runner/container/stage-spawner',
  'runner/container/stage/main',
  'runner/image/unpack-worker',
];

/** Has what is loaded after it loaded as it has been compiled before. */
const LOADER = 'fs/sys/load-compiled';

/** Processes that serve a mount: what they always need is one file for both. */
const DAEMONS = ['fs/daemon-process', 'fs/background-process'];

/**
 * Files that the programs share: what each of these sources needs, and is not in a file before. Whatever else is shared
 * is spread over files by who uses it.
 */
const SHARED = new Map([
  // What every command needs.
  ['base', ['cli/lamina.ts']],
  ['options', ['cli/fuse-lamina.ts']],
  // What nearly every command on containers needs, then what else it takes to start one.
  ['containers', ['cli/ps.ts', 'cli/run.ts']],
  ['run', ['cli/run.ts']],
  ['layers', ['runner/image/ingest.ts']],
]);

/** What is loaded when it is called for, and then together: each with what it needs, and is in no file before. */
const TOGETHER = new Map([
  ['command', ['cli/complain.ts', 'cli/version.ts', 'cli/container-flags/collect.ts']],
  ['serving', ['fs/mount.ts', 'fs/spare-worker.ts', 'fs/publication.ts', 'fs/unmount.ts', 'fs/sys/log.ts']],
  ['flags', ['cli/container-flags/container-flags.ts', 'cli/container-flags/identity.ts']],
]);

const DAEMON = new Map([['daemon', ['fs/serve-as-daemon.ts', 'fs/publication.ts', 'fs/unmount.ts']]]);

type Starts = ReadonlyMap<string, readonly string[]>;
type Imports = (id: string) => readonly string[];

/** Whether it begins with the loader. */
function begins(name: string): boolean {
  return ![LIBRARY, LOADER, ...BENCHMARKS].includes(name);
}

function source(name: string): string {
  return join(ROOT, name);
}

/** What a source loads at once, itself included. */
function closureOf(start: string, imports: Imports): Set<string> {
  const found = new Set<string>();
  const open = [source(start)];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    open.push(...imports(id));
  }
  return found;
}

/** Packages may lie elsewhere, by a symlink. */
function isAssignable(id: string): boolean {
  return id.startsWith(ROOT) || id.includes('/node_modules/');
}

/** Names of the shared files, by what lies in them. Most of the command line's own modules are each command's. */
function assignShared(imports: Imports, shared: Starts, together: Starts): Map<string, string> {
  const assigned = new Map<string, string>();
  const assign = (name: string, ids: Iterable<string>): void => {
    for (const id of ids) if (isAssignable(id) && !assigned.has(id)) assigned.set(id, name);
  };
  for (const [name, starts] of shared) {
    const [first = new Set<string>(), ...others] = starts.map((start) => closureOf(start, imports));
    const common = [...first].filter((id) => others.every((other) => other.has(id)));
    assign(
      name,
      common.filter((id) => !id.startsWith(source('cli/'))),
    );
  }
  for (const [name, starts] of together) for (const start of starts) assign(name, closureOf(start, imports));
  return assigned;
}

function sharedFiles(shared: Starts, together: Starts): CodeSplittingGroup[] {
  const names = [...shared.keys(), ...together.keys()];
  let assigned: Map<string, string> | undefined;
  return names.map((name, at) => ({
    debugName: name,
    name: (id, context) => {
      assigned ??= assignShared((importer) => context.getModuleInfo(importer)?.importedIds ?? [], shared, together);
      return assigned.get(id) === name ? name : null;
    },
    priority: names.length - at,
  }));
}

/** What a source says of its own place holds in dist, too, whatever file it has become a part of. */
const ownPlace: Plugin = {
  name: 'own-place',
  transform(code, id) {
    if (!id.startsWith(ROOT) || !code.includes('import.meta.')) return null;
    const own = JSON.stringify(relative(ROOT, id).replace(/\.ts$/, '.js'));
    return code.replaceAll(/\bimport\.meta\.(url|dirname)\b/g, (_, what: string) => `OWN_PLACE.${what}(${own})`);
  },
  renderChunk(code, { fileName }) {
    if (!code.includes('OWN_PLACE.')) return null;
    return code.replaceAll(/\bOWN_PLACE\.(url|dirname)\("([^"]+)"\)/g, (_, what: string, own: string) => {
      const path = `require('node:path').join(__dirname, '${relative(join(fileName, '..'), own)}')`;
      return what === 'url'
        ? `require('node:url').pathToFileURL(${path}).href`
        : `require('node:path').dirname(${path})`;
    });
  },
};

/** Of Node itself, what most who import it use late or never: to load them takes a start as long as its own files. */
const LATE = [
  'child_process',
  'crypto',
  'fs/promises',
  'net',
  'stream',
  'timers/promises',
  'tty',
  'url',
  'v8',
  'worker_threads',
  'zlib',
];
const LATE_IMPORT = new RegExp(`^let (node_\\w+) = (require\\("node:(?:${LATE.join('|')})"\\));$`, 'gm');

/** What is imported of those is loaded where it is first used, not with the file. */
const lateBuiltins: Plugin = {
  name: 'late-builtins',
  renderChunk(code) {
    let late = code;
    for (const [line, name = '', load = ''] of code.matchAll(LATE_IMPORT)) {
      // As a default import is.
      if (code.includes(`\n${name} = `)) continue;
      late = late
        .replace(line, `let loaded_${name}; const ${name} = () => (loaded_${name} ??= ${load});`)
        .replaceAll(new RegExp(`\\bnew ${name}\\.(\\w+)`, 'g'), `new (${name}().$1)`)
        .replaceAll(new RegExp(`\\b${name}\\.`, 'g'), `${name}().`);
    }
    return late === code ? null : late;
  },
};

const commonJs: Plugin = {
  name: 'common-js',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' });
  },
};

/**
 * Packages that become a part of our files: to find one among packages and to compile it, which Node keeps nothing of, takes
 * a start 2 ms. koffi is native, and of undici and tar-stream a start has no need.
 */
const BUNDLED = ['commander', 'lru-cache'];

/** What their licenses ask for. */
const licenses: Plugin = {
  name: 'licenses',
  generateBundle() {
    const texts = BUNDLED.map((name) => {
      const directory = source(`node_modules/${name}`);
      const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
      if (file === undefined) throw new Error(`${name} has no license that could go with it`);
      return `${name}\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`;
    });
    this.emitFile({ type: 'asset', fileName: 'third-party-licenses.txt', source: texts.join('\n\n') });
  },
};

/** Of a program that begins with the loader. */
const MAIN = '.main.js';

/** The programs themselves: each loads the loader, and then all that it is. */
function beginnings(names: readonly string[]): Plugin {
  return {
    name: 'beginnings',
    generateBundle() {
      for (const name of names) {
        const loader = relative(dirname(name), `${LOADER}.js`);
        const lines = ['#!/usr/bin/env node', `require('./${loader}');`, `require('./${basename(name)}${MAIN}');`];
        this.emitFile({ type: 'asset', fileName: `${name}.js`, source: `${lines.join('\n')}\n` });
      }
    },
  };
}

function build(
  names: readonly string[],
  codeSplitting: OutputOptions['codeSplitting'],
  shared = 'shared',
): RolldownOptions {
  return {
    input: Object.fromEntries(names.map((name) => [name, source(`${name}.ts`)])),
    platform: 'node',
    external: new RegExp(`^(?!(?:${BUNDLED.join('|')})$)[^./]`),
    // What is imported for its types alone would be loaded otherwise; the other one warns of this one.
    transform: { typescript: { onlyRemoveTypeImports: false } },
    checks: { configurationFieldConflict: false },
    plugins: [ownPlace, lateBuiltins, beginnings(names.filter(begins))],
    output: {
      dir: 'dist',
      format: 'cjs',
      entryFileNames: ({ name }) => (begins(name) ? `[name]${MAIN}` : '[name].js'),
      chunkFileNames: `${shared}/[name]-[hash].js`,
      // The loader has none for what it loads.
      dynamicImportInCjs: false,
      comments: { legal: true, jsdoc: false, annotation: false },
      codeSplitting: codeSplitting ?? true,
    },
  };
}

const programs = build(PROGRAMS, { groups: sharedFiles(SHARED, TOGETHER) });
const { plugins } = programs;

export default defineConfig([
  { ...programs, plugins: [plugins, commonJs, licenses] },
  build([LOADER], false),
  build(DAEMONS, { groups: sharedFiles(new Map(), DAEMON) }),
  build(BENCHMARKS, true, 'bench/shared'),
  ...HELPERS.map((name) => build([name], false)),
]);

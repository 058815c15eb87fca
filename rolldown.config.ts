import { join, relative } from 'node:path';
import { type CodeSplittingGroup, type OutputOptions, type Plugin, type RolldownOptions, defineConfig } from 'rolldown';

// The sources become few files: to find, read and compile a module costs a start more than most modules do by running.
// They are CommonJS, which Node loads at once and by far fewer steps than ECMAScript modules; dist/package.json says so.

const ROOT = import.meta.dirname;

/** What is started by its own name, and what other programs import. */
const PROGRAMS = [
  'cli/lamina',
  'cli/fuse-lamina',
  'fs/index',
  'runner/container/supervisor/main',
  'runner/doctor/trial/main',
];

const BENCHMARKS = ['bench/main', 'bench/image/main'];

/** Threads and processes of which one command starts several: a file each, with all that it uses and nothing else. */
const HELPERS = [
  'fs/worker',
  'fs/overlay/slow-worker',
  'runner/container/exec/exec-spawner',
  'runner/container/exec/stage',
  'runner/container/stage-spawner',
  'runner/container/stage/main',
  'runner/image/unpack-worker',
];

/** A process that loads little, and the union by itself only for another backend. */
const DAEMON = 'fs/daemon-process';

/**
 * Files that the programs share: what each of these sources needs, and is not in a file before. Whatever else is shared
 * is spread over files by who uses it.
 */
const SHARED = new Map([
  ['options', ['cli/fuse-lamina.ts']],
  // What nearly every command on containers needs, then what else it takes to start one.
  ['containers', ['cli/ps.ts', 'cli/run.ts']],
  ['run', ['cli/run.ts']],
  ['layers', ['runner/image/ingest.ts']],
]);

type Imports = (id: string) => readonly string[];

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

/** Names of the shared files, by what lies in them. The command line's own modules are each command's. */
function assignShared(imports: Imports): Map<string, string> {
  const assigned = new Map<string, string>();
  for (const [name, starts] of SHARED) {
    const [first = new Set<string>(), ...others] = starts.map((start) => closureOf(start, imports));
    const common = [...first].filter((id) => others.every((other) => other.has(id)));
    const ours = common.filter((id) => id.startsWith(source('fs/')) || id.startsWith(source('runner/')));
    for (const id of ours) if (!assigned.has(id)) assigned.set(id, name);
  }
  return assigned;
}

function sharedFiles(): CodeSplittingGroup[] {
  let assigned: Map<string, string> | undefined;
  return [...SHARED.keys()].map((name, at) => ({
    debugName: name,
    name: (id, context) => {
      assigned ??= assignShared((importer) => context.getModuleInfo(importer)?.importedIds ?? []);
      return assigned.get(id) === name ? name : null;
    },
    priority: SHARED.size - at,
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

const commonJs: Plugin = {
  name: 'common-js',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' });
  },
};

function build(
  names: readonly string[],
  codeSplitting: OutputOptions['codeSplitting'],
  shared = 'shared',
): RolldownOptions {
  return {
    input: Object.fromEntries(names.map((name) => [name, source(`${name}.ts`)])),
    platform: 'node',
    // Packages stay packages.
    external: /^[^./]/,
    // What is imported for its types alone would be loaded otherwise; the other one warns of this one.
    transform: { typescript: { onlyRemoveTypeImports: false } },
    checks: { configurationFieldConflict: false },
    plugins: [ownPlace],
    output: {
      dir: 'dist',
      format: 'cjs',
      entryFileNames: '[name].js',
      chunkFileNames: `${shared}/[name]-[hash].js`,
      comments: { legal: true, jsdoc: false, annotation: false },
      codeSplitting: codeSplitting ?? true,
    },
  };
}

const programs = build(PROGRAMS, { groups: sharedFiles() });

export default defineConfig([
  { ...programs, plugins: [ownPlace, commonJs] },
  build([DAEMON], true),
  build(BENCHMARKS, true, 'bench/shared'),
  ...HELPERS.map((name) => build([name], false)),
]);

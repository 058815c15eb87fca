// Lets Node 20 run the tests' TypeScript as it stands: `node --import ./test/support/typescript.js FILE.ts`. Types are
// stripped, not checked. The file is loaded twice, by the program and by Node's thread for hooks.
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import typescript from 'typescript';

const { ModuleKind, ScriptTarget } = typescript;

if (isMainThread) register(import.meta.url);

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const { outputText } = typescript.transpileModule(await readFile(new URL(url), 'utf8'), {
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2023, inlineSourceMap: true },
    fileName: url,
  });
  return { format: 'module', source: outputText, shortCircuit: true };
}

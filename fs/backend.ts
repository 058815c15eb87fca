import { type Backend, BACKENDS, type FuseOptions } from './fuse/options.ts';

/** Who is to serve a mount: the option, or else LAMINA_BACKEND of the environment, which reaches every caller. */
export function backendOf(options: FuseOptions): Backend {
  if (options.backend !== undefined) return options.backend;
  const { LAMINA_BACKEND: name } = process.env;
  if (name === undefined || name === '') return 'device';
  const backend = BACKENDS.find((known) => known === name);
  if (backend === undefined) throw new Error(`LAMINA_BACKEND=${name} is not one of ${BACKENDS.join(', ')}`);
  return backend;
}

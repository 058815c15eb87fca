// Node 20 reads the certificates that NODE_EXTRA_CA_CERTS names when it starts, which takes it as long as all else. So our
// launcher, cli/lamina.sh, renames the variable for as long as that takes; what we start, and what asks for the certificates,
// finds it as the user has set it.

const NAME = 'NODE_EXTRA_CA_CERTS';
const RENAMED = 'LAMINA_EXTRA_CA_CERTS';

/** Has the variable back, where the launcher has renamed it. To be called first. */
export function recallExtraCertificates(): void {
  const { [RENAMED]: path } = process.env;
  if (path === undefined) return;
  process.env[NAME] = path;
  Reflect.deleteProperty(process.env, RENAMED);
}

/** An environment in which this program starts as by its launcher. */
export function renamingExtraCertificates({ [NAME]: path, ...others }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return path === undefined || path === '' ? others : { ...others, [RENAMED]: path };
}

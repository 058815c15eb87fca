import packageFile from '../package.json' with { type: 'json' };

/** The package's version, as it was when the program was built. */
export function version(): string {
  return packageFile.version;
}

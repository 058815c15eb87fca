/** A mount option whose value cannot be used, or that is needed and not there. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

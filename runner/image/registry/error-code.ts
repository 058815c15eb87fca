/** The code of an error, or of what caused it: `ECONNRESET`, `CERT_HAS_EXPIRED`; empty where there is none. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return codeOf(error.cause);
}

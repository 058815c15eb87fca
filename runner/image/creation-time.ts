/**
 * The time that everything is to bear, in seconds since 1970 (reproducible-builds.org/specs/source-date-epoch).
 *
 * @throws where the variable says something else.
 */
export function sourceDateEpoch(): number | undefined {
  const { SOURCE_DATE_EPOCH: text } = process.env;
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new Error(`SOURCE_DATE_EPOCH is ${JSON.stringify(text)}, which is no number of seconds since 1970`);
}

/** When an image is made, as its configuration says it: now, or at `SOURCE_DATE_EPOCH`. RFC 3339. */
export function creationTime(): string {
  const epoch = sourceDateEpoch();
  return epoch === undefined ? new Date().toISOString() : new Date(epoch * 1000).toISOString().replace('.000Z', 'Z');
}

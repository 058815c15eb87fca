/** All of a body that is no longer than `limit`; of a longer one no more than that is read. */
export async function readBody(body: AsyncIterable<unknown>, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      const bytes = chunk as Buffer;
      length += bytes.length;
      if (length > limit) throw new Error(`${what} is longer than ${limit} bytes`);
      chunks.push(bytes);
    }
  } catch (error) {
    if (!(error instanceof Error && error.name === 'TimeoutError')) throw error;
    throw new Error(`${what} comes too slowly: it was not there in time`, { cause: error });
  }
  return Buffer.concat(chunks);
}

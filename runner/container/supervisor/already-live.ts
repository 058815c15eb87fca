/** Somebody else runs the container. */
export class AlreadyLive extends Error {
  override readonly name = 'AlreadyLive';
}

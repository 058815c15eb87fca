import { type Digest } from '../digest.ts';
import { type RemoteDocument } from './registry.ts';
import { type HttpResponse } from './transport.ts';

/** What images are pulled from. */
export interface Repository {
  /** Reads the manifest or index of a tag or digest. */
  document(target: string): Promise<RemoteDocument>;
  /** All tags of the repository. */
  tags(): Promise<string[]>;
  /** Opens a blob from an offset on; the status tells whether that was taken (206) or not (200). */
  blob(digest: Digest, offset: number): Promise<HttpResponse>;
  /** Opens a blob where a manifest says that it is to be had besides. Whoever is there gets no credentials. */
  foreignBlob(url: string, offset: number): Promise<HttpResponse>;
  /** Told of wrong bytes: others are asked, where there are any. */
  distrust(error: WrongBytes): void;
  /** Waits before another attempt. */
  wait(attempt: number): Promise<void>;
  close(): Promise<void>;
}

/** What has come is not what was asked for. The next time it may be: a cache or a line in between may be at fault. */
export class WrongBytes extends Error {
  override readonly name = 'WrongBytes';
}

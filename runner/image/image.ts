import { type ByteString } from '../../fs/sys/bytes.ts';
import { type Digest } from './digest.ts';
import { type Platform } from './platform.ts';

/** What an image says about the process to start: the `config` object of an OCI image configuration. */
export interface ImageConfig {
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `user[:group]`, names or numbers; empty for root. */
  readonly user: string;
  /** Absolute; empty for `/`. */
  readonly workingDir: string;
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** A name or a number; undefined for SIGTERM. */
  readonly stopSignal: string | undefined;
}

/** One line of an image's history. */
export interface HistoryEntry {
  readonly created: string | undefined;
  readonly createdBy: string;
  readonly author: string;
  readonly comment: string;
  readonly emptyLayer: boolean;
}

/** An image of the store. */
export interface Image {
  /** Digest of the configuration: what docker calls the image id. */
  readonly id: Digest;
  /** Those that have this configuration: one, or several where the layers were packed differently. */
  readonly manifests: readonly Digest[];
  /** Full names (`docker.io/library/debian:latest`); none for an image whose name another one took. */
  readonly names: readonly string[];
  /** What it was pulled by: `docker.io/library/debian@sha256:...`, the digest of a manifest or of an index. */
  readonly repoDigests: readonly string[];
  readonly platform: Platform;
  /** RFC 3339. */
  readonly created: string | undefined;
  readonly author: string;
  readonly config: ImageConfig;
  readonly history: readonly HistoryEntry[];
  /** Digests of the uncompressed layer archives, the bottom one first, as in RootFS. */
  readonly diffIds: readonly Digest[];
  /** Names of the layers' stacks, the bottom one first. */
  readonly chainIds: readonly Digest[];
  /** Whether all layers are unpacked; what skopeo or umoci has put in the store is so once it is used. */
  readonly unpacked: boolean;
  /** Absolute paths of unpacked layers, the topmost first: what a union takes as its lowers. None without `unpacked`. */
  readonly layers: readonly ByteString[];
}

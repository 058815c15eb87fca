/** What `trial/main.ts` found out by trying it: 0 where it works, else a negative errno. */
export interface Trial {
  /** Mounting a tmpfs: the first thing that a restricted user namespace refuses. */
  readonly tmpfs: number;
  /** Opening /dev/fuse. */
  readonly fuseDevice: number;
  /** mount(2) of FUSE. */
  readonly fuse: number;
  /** Kernel overlayfs over directories of the store, with a file removed and a directory replaced in it. */
  readonly overlay: number;
  /** A device 0:0 in the store, the kernel's whiteout. */
  readonly whiteoutDevice: number;
  /** A `trusted.` or, in a user namespace, `user.` xattr in the store. */
  readonly xattr: number;
  /** Why the kernel does not read and write files of the layers by itself; empty where it does. */
  readonly passthrough: string;
  readonly pivotRoot: number;
}

/** What the trial is told. */
export interface TrialInput {
  /** An empty directory in the store. */
  readonly directory: string;
  /** It runs in a user namespace. */
  readonly isRootless: boolean;
}

/** What the command line asks for of the container's life. */
export interface LifecycleOptions {
  /** It goes with its end. */
  readonly remove: boolean;
}

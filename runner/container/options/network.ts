/** What the command line asks for of the container's network. */
export interface NetworkOptions {
  /** `host`: the host's; `none`: the loopback interface alone. */
  readonly mode: 'host' | 'none';
}

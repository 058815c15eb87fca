// What a process that starts a container and the supervisor that it has started for that tell each other: lines of JSON,
// over a pair of sockets.

/** The supervisor's descriptor of it. */
export const CHANNEL = 3;

/** Argument of a supervisor whose container's filesystem it is to serve itself, as far as is known yet. */
export const MOUNTS = 'mounts';

/** To the supervisor. */
export interface StartOrder {
  /** Of the container. */
  readonly directory: string;
  /** The command is not started before a client is attached. */
  readonly waitsForClient: boolean;
}

/** From the supervisor. */
export type StartEvent =
  /** It can be attached to. */
  | { readonly event: 'listening' }
  /** The command runs. */
  | { readonly event: 'started' }
  | {
      readonly event: 'failed';
      readonly message: string;
      readonly exitCode: number | undefined;
      /** It runs already. */
      readonly isLive: boolean;
    };

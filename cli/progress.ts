import { type Digest, hexOf } from '../runner/image/digest.ts';
import { humanSize } from './human-size.ts';

/** What is told of layers that come or go, while they do. */
export interface Progress {
  /** A layer of so many bytes begins. Answers what is told of its bytes. */
  layer(digest: Digest, size: number): (bytes: number) => void;
  /** A layer need not be moved. */
  settle(digest: Digest, how: Settled): void;
  end(): void;
}

/** Why a layer is not moved. */
type Settled = 'exists' | 'mounted' | 'foreign';

const SETTLED: Readonly<Record<Settled, string>> = {
  exists: 'already there',
  mounted: 'taken from another repository',
  foreign: 'left where its URL says',
};

/** Words for a direction. */
export interface Words {
  readonly doing: string;
  readonly done: string;
}

export const PULLED: Words = { doing: 'fetching', done: 'fetched' };
export const PUSHED: Words = { doing: 'pushing', done: 'pushed' };

interface ProgressFlags {
  readonly quiet?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Bars on a terminal, lines elsewhere, objects or nothing where that is asked for. */
export function createProgress({ quiet, json }: ProgressFlags, words: Words, outputs: Outputs): Progress {
  if (quiet === true) return quietProgress;
  if (json === true) return jsonProgress(outputs.print, words);
  return outputs.isTerminal ? barProgress(outputs.say) : lineProgress(outputs.say, words);
}

interface Outputs {
  /** To standard output. */
  readonly print: (text: string) => void;
  /** To standard error. */
  readonly say: (text: string) => void;
  /** Whether that is a terminal. */
  readonly isTerminal: boolean;
}

function shortOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/** Nothing is told. */
const quietProgress: Progress = { layer: () => () => undefined, settle: () => undefined, end: () => undefined };

/** One line a layer, when it is there: for logs. */
function lineProgress(write: (text: string) => void, { done }: Words): Progress {
  return {
    layer: (digest, size) =>
      once(size, () => {
        write(`${shortOf(digest)}: ${done} ${humanSize(size)}\n`);
      }),
    settle(digest, how) {
      write(`${shortOf(digest)}: ${SETTLED[how]}\n`);
    },
    end: () => undefined,
  };
}

/** Calls when all bytes are there, the first time alone: bytes that were lost on their way are told of again. */
function once(size: number, call: () => void): (bytes: number) => void {
  let isDone = false;
  return (bytes) => {
    if (bytes !== size || isDone) return;
    isDone = true;
    call();
  };
}

/** An object a line, for programs. */
function jsonProgress(print: (text: string) => void, { doing, done }: Words): Progress {
  const write = (layer: Digest, rest: object): void => {
    print(`${JSON.stringify({ layer, ...rest })}\n`);
  };
  return {
    layer(digest, size) {
      write(digest, { size, status: doing });
      return once(size, () => {
        write(digest, { size, status: done });
      });
    },
    settle(digest, status) {
      write(digest, { status });
    },
    end: () => undefined,
  };
}

const BAR = 30;
/** Milliseconds between two pictures. */
const FRAME = 100;

interface Row {
  readonly digest: Digest;
  readonly size: number;
  readonly settled?: Settled;
  bytes: number;
}

/** A bar a layer, drawn over on a terminal. */
function barProgress(write: (text: string) => void): Progress {
  const rows: Row[] = [];
  let drawn = 0;
  let last = 0;
  const draw = (): void => {
    const up = drawn > 0 ? `\x1b[${drawn}A` : '';
    write(`${up}${rows.map((row) => `\x1b[2K${describeRow(row)}\n`).join('')}`);
    drawn = rows.length;
    last = Date.now();
  };
  const add = (row: Row): Row => {
    rows.push(row);
    draw();
    return row;
  };
  return {
    layer(digest, size) {
      const row = add({ digest, size, bytes: 0 });
      return (bytes) => {
        row.bytes = bytes;
        if (bytes === size || Date.now() - last >= FRAME) draw();
      };
    },
    settle(digest, settled) {
      add({ digest, size: 0, settled, bytes: 0 });
    },
    end: draw,
  };
}

function describeRow({ digest, size, settled, bytes }: Row): string {
  if (settled !== undefined) return `${shortOf(digest)}: ${SETTLED[settled]}`;
  const filled = size === 0 ? BAR : Math.floor((bytes / size) * BAR);
  return `${shortOf(digest)}: [${'='.repeat(filled).padEnd(BAR)}] ${humanSize(bytes)}/${humanSize(size)}`;
}

import { type Digest, hexOf } from '../runner/image/digest.ts';
import { humanSize } from './human-size.ts';

/** What is told of a pull while it runs. */
export interface PullProgress {
  /** A layer: of so many bytes, or undefined where it is there already. Answers what is told of its bytes. */
  layer(digest: Digest, size: number | undefined): (bytes: number) => void;
  end(): void;
}

function shortOf(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/** Nothing is told. */
export const quietProgress: PullProgress = { layer: () => () => undefined, end: () => undefined };

/** One line a layer, when it is there: for logs. */
export function lineProgress(write: (text: string) => void): PullProgress {
  return {
    layer(digest, size) {
      if (size === undefined) write(`${shortOf(digest)}: already there\n`);
      return (bytes) => {
        if (bytes === size) write(`${shortOf(digest)}: fetched ${humanSize(size)}\n`);
      };
    },
    end: () => undefined,
  };
}

/** An object a line, for programs. */
export function jsonProgress(write: (text: string) => void): PullProgress {
  return {
    layer(digest, size) {
      write(
        `${JSON.stringify({ layer: digest, size: size ?? 0, status: size === undefined ? 'exists' : 'fetching' })}\n`,
      );
      return (bytes) => {
        if (bytes === size) write(`${JSON.stringify({ layer: digest, size, status: 'fetched' })}\n`);
      };
    },
    end: () => undefined,
  };
}

const BAR = 30;
/** Milliseconds between two pictures. */
const FRAME = 100;

interface Row {
  readonly digest: Digest;
  readonly size: number | undefined;
  bytes: number;
}

/** A bar a layer, drawn over on a terminal. */
export function barProgress(write: (text: string) => void): PullProgress {
  const rows: Row[] = [];
  let drawn = 0;
  let last = 0;
  const draw = (): void => {
    const up = drawn > 0 ? `\x1b[${drawn}A` : '';
    write(`${up}${rows.map((row) => `\x1b[2K${describeRow(row)}\n`).join('')}`);
    drawn = rows.length;
    last = Date.now();
  };
  return {
    layer(digest, size) {
      const row = { digest, size, bytes: 0 };
      rows.push(row);
      draw();
      return (bytes) => {
        row.bytes = bytes;
        if (bytes === size || Date.now() - last >= FRAME) draw();
      };
    },
    end: draw,
  };
}

function describeRow({ digest, size, bytes }: Row): string {
  if (size === undefined) return `${shortOf(digest)}: already there`;
  const filled = size === 0 ? BAR : Math.floor((bytes / size) * BAR);
  return `${shortOf(digest)}: [${'='.repeat(filled).padEnd(BAR)}] ${humanSize(bytes)}/${humanSize(size)}`;
}

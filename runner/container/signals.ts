import { constants } from 'node:os';

export const { SIGKILL } = constants.signals;

// Linux, x86_64 and arm64, as glibc has them: it keeps the first two real-time signals for itself.
const RT_MIN = 34;
const RT_MAX = 64;

/** The number of a signal given by name, with or without SIG, or by number; docker's rule. */
export function signalNumber(text: string): number {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : numberOf(text.toUpperCase().replace(/^(?:SIG)?/, ''));
  if (number !== undefined && number >= 1 && number <= RT_MAX) return number;
  throw new Error(
    `${JSON.stringify(text.slice(0, 100))} is no signal: give a name such as TERM, or a number from 1 to 64`,
  );
}

function numberOf(name: string): number | undefined {
  const [, edge, sign, distance] = /^RTM(IN|AX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  if (edge === 'IN') return sign === '-' ? undefined : RT_MIN + Number(distance ?? 0);
  if (edge === 'AX') return sign === '+' ? undefined : RT_MAX - Number(distance ?? 0);
  const signals: Readonly<Record<string, number>> = constants.signals;
  return signals[`SIG${name}`];
}

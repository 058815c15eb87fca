import type { Slot } from '../slot.ts';

/** Answers the length of the reply's payload, a negative errno, or `NO_REPLY`. */
export type Handler = (slot: Slot) => number;

/** The kernel waits for no answer. Beyond every errno. */
export const NO_REPLY = -0x10000;

import { type Case } from './case.ts';
import { copying, exec } from './cases/exec.ts';
import { exitCodes } from './cases/exit-codes.ts';
import { failures } from './cases/failures.ts';
import { files } from './cases/files.ts';
import { changes, images } from './cases/images.ts';
import { kernel } from './cases/kernel.ts';
import { life, listing } from './cases/life.ts';
import { processes } from './cases/process.ts';

/** The table. */
export const CASES: readonly Case[] = [
  ...exitCodes,
  ...failures,
  ...processes,
  ...files,
  ...kernel,
  ...life,
  ...listing,
  ...exec,
  ...copying,
  ...changes,
  ...images,
];

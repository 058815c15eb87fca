import { spawnSync } from 'node:child_process';
import { parentPort, workerData } from 'node:worker_threads';
import { asFailure, type Program, type ProgramEnd } from './sys/run-program.ts';

function run({ file, parameters, descriptor }: Program): ProgramEnd {
  const { status, stderr, error } = spawnSync(file, parameters, {
    stdio: ['ignore', 'ignore', 'pipe', descriptor ?? 'ignore'],
    encoding: 'utf8',
  });
  return error === undefined ? { status, stderr } : asFailure(error);
}

parentPort?.postMessage(run(workerData as Program));

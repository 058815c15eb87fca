import { fuseNativeObstacle } from '../../fs/index.ts';
import { libseccompVersion } from '../../fs/sys/libseccomp.ts';
import { findHelper } from '../container/network/mode.ts';
import { lookForProgram } from '../container/program.ts';
import { type Check, no, partly, yes } from './check.ts';

export function checkNetwork(): Check {
  const name = 'private network';
  const found = findHelper();
  if (found.mode !== undefined) return yes(name, `by ${found.mode}`);
  return partly(name, `${found.reason}: containers have the host's network, or none`, found.remedy);
}

export function checkSeccomp(): Check {
  const name = 'seccomp filters';
  try {
    return yes(name, `by libseccomp ${libseccompVersion()}`);
  } catch {
    return no(
      name,
      'libseccomp is not installed: containers run only with --security-opt seccomp=unconfined',
      'as root: apt-get install libseccomp2',
    );
  }
}

export function checkInit(): Check {
  const name = 'program for --init';
  const path = ['catatonit', 'tini', 'docker-init'].map(lookForProgram).find((found) => found !== undefined);
  if (path !== undefined) return yes(name, path);
  return partly(name, 'none is installed: run --init does not work', 'as root: apt-get install catatonit');
}

export async function checkFuseNative(): Promise<Check> {
  const name = 'backend fuse-native';
  const obstacle = await fuseNativeObstacle();
  return obstacle === '' ? yes(name, 'loads') : partly(name, `does not load, and nothing needs it: ${obstacle}`);
}

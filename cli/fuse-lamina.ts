#!/usr/bin/env node
import { mountOptions, parseCommandLine, rawArguments, serveInForeground, spawnDaemon } from '../fs/index.ts';

// The command line of fuse-overlayfs, so that podman, buildah, containerd and mount(8) can call it in its place. Who mounts in
// the background by `fuse-lamina`, the shell script beside this, comes past here.

const USAGE = `Usage: fuse-lamina [options] MOUNTPOINT
       fuse-lamina SOURCE MOUNTPOINT [options]

    -o lowerdir=DIR[:DIR...]   read-only layers, the topmost first (\\: is a colon in a path)
    -o lowerdir+=DIR           the same, one at a time
    -o datadir+=DIR            a data-only layer below them; or lowerdir=DIR::DATADIR
    -o upperdir=DIR            takes the changes; without it the mount is read-only
    -o workdir=DIR             an empty directory on the upper's filesystem
    -o OPTION[,OPTION...]      further options of fuse-overlayfs, overlayfs and mount
    -o backend=fuse-native     through libfuse 2.9 in the npm package fuse-native (or LAMINA_BACKEND=fuse-native)
    -f                         stay in the foreground
    -d, --debug                stay in the foreground
    -h, --help                 print this
    -V, --version              print the version

LAMINA_LOG=FILE in the environment makes the daemon write its log there.
`;

async function printVersion(): Promise<void> {
  const { version } = await import('./version.ts');
  process.stdout.write(`fuse-lamina: version ${version()}\n`);
}

async function main(): Promise<void> {
  const line = parseCommandLine(rawArguments());
  if (line.help) {
    process.stdout.write(USAGE);
  } else if (line.version) {
    await printVersion();
  } else if (line.foreground) {
    await serveInForeground(mountOptions(line));
  } else {
    await spawnDaemon(mountOptions(line));
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`fuse-lamina: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});

import { type Command, Option } from 'commander';

// What docker's and podman's users write now and then, and lamina has no part of: one line says what does instead. An
// option that asks for what is so anyway is accepted.

const NO_HEALTH = 'lamina runs no health checks: "lamina exec" runs one';

const REFUSED: readonly (readonly [flag: string, why: string])[] = [
  ['--health-cmd <command>', NO_HEALTH],
  ['--health-interval <duration>', NO_HEALTH],
  ['--health-retries <count>', NO_HEALTH],
  ['--health-start-interval <duration>', NO_HEALTH],
  ['--health-start-period <duration>', NO_HEALTH],
  ['--health-timeout <duration>', NO_HEALTH],
  ['--link <container>', 'there are no links: --network container:NAME shares a network, --add-host names an address'],
  ['--gpus <devices>', "nothing of the host's drivers is put into containers: give nodes by --device, libraries by -v"],
  ['--storage-opt <option>', 'storage has no options: what LAMINA_ROOT lies on limits it'],
  ['--annotation <name=value>', 'there is no bundle to be annotated: --label keeps a value with the container'],
  ['--runtime <name>', 'lamina is its own runtime'],
  ['--pod <name>', 'there are no pods: --network, --ipc and --pid container:NAME share namespaces'],
  ['--secret <secret>', 'there are no secrets: -v FILE:/run/secrets/NAME:ro gives one'],
  ['--env-host', 'name the variables: -e NAME takes the value that it has here'],
  ['--tz <zone>', 'say -e TZ=ZONE'],
  ['--systemd <mode>', 'systemd is given no mounts of its own: --tmpfs /run --tmpfs /run/lock --cgroupns private'],
];

export function addRefusedFlags(command: Command): Command {
  for (const [flags, why] of REFUSED) {
    const option = new Option(flags).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () => command.error(`error: --${option.name()}: ${why}`));
  }
  return command
    .addOption(new Option('--no-healthcheck').hideHelp())
    .addOption(new Option('--disable-content-trust').hideHelp())
    .addOption(new Option('--isolation <technology>').choices(['default']).hideHelp())
    .addOption(new Option('--volume-driver <driver>').choices(['local']).hideHelp());
}

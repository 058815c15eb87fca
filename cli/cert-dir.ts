import { Option } from 'commander';

/** `--cert-dir`, as podman and skopeo have it. */
export function certDirOption(): Option {
  const help = 'directory of *.crt (authorities), and *.cert with *.key (ours), in place of certs.d/HOST';
  return new Option('--cert-dir <dir>', help);
}

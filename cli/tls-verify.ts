import { Option } from 'commander';

/** `--tls-verify`, as podman and skopeo have it. */
export function tlsVerifyOption(): Option {
  const help = 'false: do not check certificates, and speak http where there is no TLS';
  return new Option('--tls-verify <bool>', help).choices(['true', 'false']).default('true');
}

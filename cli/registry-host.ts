import { parseReference } from '../runner/image/reference.ts';

/** A registry's host as references have it; throws where it is none. */
export function familiarHost(text: string): string {
  const host = text.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  if (host === 'docker.io' || host === 'index.docker.io') return 'docker.io';
  // A reference in it is checked by the rules of references.
  if (host.includes('/')) {
    throw new Error(
      `${JSON.stringify(text)} is more than a registry: give its host alone, with a port where it has one`,
    );
  }
  const { domain } = parseReference(`${host}/x`);
  if (domain !== host) {
    throw new Error(`${JSON.stringify(text)} is not a registry's host name: it has neither a dot nor a port`);
  }
  return domain;
}

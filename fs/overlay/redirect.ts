import { type ByteString } from '../sys/bytes.ts';

/** A redirect is a path: what is longer is none. */
const REDIRECT_MAX = 4096;
const NAME_MAX = 255;

/**
 * Why a value of `overlay.redirect` is no redirect, undefined where it is one: a name beside its own, or a path from
 * the layers' roots (fs/overlayfs/util.c, ovl_get_redirect_xattr), that does not lead upwards.
 */
export function redirectFault(redirect: ByteString): string | undefined {
  if (redirect === '') return 'is empty';
  if (redirect.length > REDIRECT_MAX) return `is longer than ${REDIRECT_MAX} bytes`;
  if (redirect.includes('\0')) return 'has a NUL byte';
  const components = redirectPath(redirect);
  if (!redirect.startsWith('/') && components.length > 1) return 'is neither a name nor an absolute path';
  if (components.includes('')) return 'has an empty name in it';
  if (components.some((name) => name === '.' || name === '..')) return 'has "." or ".." in it';
  return components.some((name) => name.length > NAME_MAX) ? `has a name longer than ${NAME_MAX} bytes` : undefined;
}

/** The names that a redirect is made of. */
export function redirectPath(redirect: ByteString): readonly ByteString[] {
  return (redirect.startsWith('/') ? redirect.slice(1) : redirect).split('/');
}

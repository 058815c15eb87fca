/** How a pair of unions is mounted. */
export interface Variant {
  /** Options of kernel overlayfs, over `redirect_dir=on,index=on,xino=on,metacopy=on`. */
  readonly kernel: readonly string[];
  readonly lamina: readonly string[];
  /** What the names of overlayfs's xattrs begin with. */
  readonly marks: 'trusted.overlay.' | 'user.overlay.';
  /** Variables of lamina's daemon. */
  readonly environment?: readonly string[];
  /** Without an index overlayfs breaks hard links of lower files at a copy-up: there are none then. */
  readonly breaksLinks: boolean;
  /** lamina has an index of each lower layer. */
  readonly isIndexed?: true;
  /** Why kernel overlayfs does not read what lamina writes then. */
  readonly alone?: string;
}

/** Both have the same options. */
function alike(...options: readonly string[]): Variant {
  const marks = options.includes('userxattr') ? 'user.overlay.' : 'trusted.overlay.';
  return { kernel: options, lamina: options, marks, breaksLinks: options.includes('index=off') };
}

export const VARIANTS: Readonly<Record<string, Variant>> = {
  all: alike('metacopy=on'),
  indexed: { ...alike('metacopy=on'), isIndexed: true },
  'no-open': { ...alike('metacopy=on'), lamina: ['metacopy=on', 'no_open=on'] },
  'without-metacopy': alike('metacopy=off'),
  'without-index': alike('index=off', 'metacopy=on'),
  'without-redirects': alike('redirect_dir=nofollow', 'metacopy=off'),
  'follow-redirects': alike('redirect_dir=follow', 'metacopy=off'),
  // Overlayfs cannot mount again an upper of its own with the index of a symlink: it has no xattr for the origin.
  userxattr: alike('userxattr', 'redirect_dir=nofollow', 'metacopy=off', 'index=off'),
  'whiteouts-by-name': {
    ...alike('metacopy=on'),
    environment: ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'],
    alone: 'overlayfs knows no whiteouts by name',
  },
};

export function variantOf(name: string): Variant {
  const variant = VARIANTS[name];
  if (variant === undefined) throw new Error(`there is no variant ${name}: ${Object.keys(VARIANTS).join(', ')}`);
  return variant;
}

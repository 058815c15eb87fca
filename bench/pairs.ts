/** Who is compared with the others. */
export const SUBJECT = 'lamina';

/** Whose number is divided by whose. */
export interface Pair {
  readonly ours: string;
  readonly theirs: string;
}

/** How a pair is called in tables and reports. */
export const pairName = ({ ours, theirs }: Pair): string => `${ours}/${theirs}`;

const isOurs = (name: string): boolean => name === SUBJECT || name.startsWith(`${SUBJECT}-`);

/** What of ours is like a peer: `lamina-volatile` for `overlayfs-volatile`. */
function likes(peer: string, ours: readonly string[]): string[] {
  const alike = ours.filter((one) => one !== SUBJECT && peer.endsWith(one.slice(SUBJECT.length)));
  // fuse-overlayfs never syncs what it copies up: it is fair to compare it with what does not either.
  if (peer === 'fuse-overlayfs') return ours.filter((one) => one === SUBJECT || one === `${SUBJECT}-volatile`);
  return alike.length > 0 ? alike : ours.filter((one) => one === SUBJECT);
}

/** The pairs that are compared among contenders, in the order of the peers. */
export function pairsOf(names: readonly string[]): Pair[] {
  const ours = names.filter(isOurs);
  const peers = names.filter((name) => !isOurs(name));
  return peers.flatMap((theirs) => likes(theirs, ours).map((one) => ({ ours: one, theirs })));
}

/** The descriptor on which a daemon gets its options and tells how it went. */
export const CHANNEL = 3;

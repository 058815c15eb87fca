// What an executor answers in an errno's place where kernel overlayfs does what no filesystem does, or FUSE cannot.

export const LISTS_NOTHING = 'ENOTEMPTY of a directory that lists nothing';
export const TAKES_NAME_BACK = 'a change of what has no name, which takes its former name back';
export const LINKS_ONCE_ASKED = 'EPERM to link, until the attributes are asked for';

import { userInfo } from 'node:os';

/** The user's: what HOME says, else the password table; the root where neither does. */
export function homeDirectory(): string {
  const { HOME: home } = process.env;
  if (home?.startsWith('/') === true) return home;
  try {
    return userInfo().homedir;
  } catch {
    return '/';
  }
}

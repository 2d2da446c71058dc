import { hostname, userInfo } from 'node:os';

/** Whoever is logged in here, and where: who did it, for audit logs. */
export function localUser(): string {
  return `${userInfo().username}@${hostname()}`;
}

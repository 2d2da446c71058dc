/** Ranges of IPv4 addresses in CIDR notation. */

export interface AddressRange {
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
}

/** The range, or undefined for what is none, or names an address inside one instead of its first. */
export function parseCidr(text: string): AddressRange | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text)?.slice(1).map(Number);
  if (!parts) return undefined;
  const [octets, prefixLength] = [parts.slice(0, 4), parts[4]!];
  if (octets.some((octet) => octet > 255) || prefixLength > 32) return undefined;
  const first = octets.reduce((address, octet) => address * 256 + octet, 0);
  const size = 2 ** (32 - prefixLength);
  return first % size === 0 ? { first, last: first + size - 1, prefixLength } : undefined;
}

/** Networks whose addresses overlap can never be peered. */
export function overlap(a: AddressRange, b: AddressRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** https://www.rfc-editor.org/rfc/rfc1918 (2026-11-26) */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'].map((text) => parseCidr(text)!);

export function isPrivate(range: AddressRange): boolean {
  return PRIVATE.some(({ first, last }) => first <= range.first && range.last <= last);
}

/**
 * The addresses of an environment's network where its settings name none: a /16 from 10.64 to 10.255, made from the
 * environment's name alone. It never changes while the name stays, whatever other environments come and go. Lower ranges
 * are left to the networks that are there already.
 */
export function defaultCidr(environment: string): string {
  // FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ (2026-11-26)
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(environment)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return `10.${64 + (hash % 192)}.0.0/16`;
}

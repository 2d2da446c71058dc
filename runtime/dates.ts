const MAX_DATE_MS = 8.64e15;

/** Whether a date can hold the time, in epoch milliseconds. Producers, and letters that were imported, name any number. */
export function isDate(epochMs: number): boolean {
  return Math.abs(epochMs) <= MAX_DATE_MS;
}

/** The nearest time from 1970 on that a date can hold: for times that are shown and reckoned with. */
export function dateMs(epochMs: number): number {
  return Math.min(Math.max(epochMs, 0), MAX_DATE_MS);
}

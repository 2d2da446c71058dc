/** Whether a date can hold the time, in epoch milliseconds. Producers, and letters that were imported, name any number. */
export function isDate(epochMs: number): boolean {
  return Math.abs(epochMs) <= 8.64e15;
}

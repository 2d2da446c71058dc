/** Commands for a person to copy, as messages have them. */

/** The folder of a command that names none. */
export const DEFAULT_STATE = '.millrace';

/** The word as a POSIX shell takes it for that word. */
export function shellQuoted(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

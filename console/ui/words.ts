/** Numbers, times and records' own text, as a person reads them. */

import { isDate } from '../../runtime/dates.ts';
import { rate as rateOf } from '../../runtime/lag/words.ts';
import type { Verdict } from '../operations.ts';

export { shellQuoted } from '../../runtime/commands.ts';
// The words of the commands, and of the evidence beside it: `45 s`, `3 min`, `2 h 5 min`.
export { duration } from '../../runtime/lag/words.ts';
/** Text that somebody else wrote, safe to read. */
export { printableLines as printable } from '../../runtime/printable.ts';

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

export function known(value: number | null): string {
  return value === null ? '?' : count(value);
}

export function plural(value: number, noun: string, several = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : several}`;
}

/** Of a server whose token is another one by now. */
export const STARTED_AGAIN = 'It was started again. Open the URL that it prints now.';

/** What the heading says of a server that is gone. */
export function noAnswer(sinceMs: number): string {
  return `The console does not answer since ${moment(sinceMs)}`;
}

/** For a `time` element; undefined where no date can hold it: a letter that was imported names any number. */
export function isoTime(ms: number): string | undefined {
  return isDate(ms) ? new Date(ms).toISOString() : undefined;
}

export function clockTime(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}

/** `12:04:31` today, `25 Nov, 12:04` before; `unknown` where no date can hold it. */
export function moment(ms: number, nowMs = Date.now()): string {
  if (!isDate(ms)) return 'unknown';
  const date = new Date(ms);
  if (date.toDateString() === new Date(nowMs).toDateString()) return clockTime(ms);
  const day = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return `${day}, ${date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}`;
}

/** `1,240/s`, `0.3/s`; `?` where it is unknown. */
export function rate(perSecond: number | null): string {
  return perSecond === null ? '?' : rateOf(perSecond);
}

export type Tone = 'bad' | 'warn' | 'good' | 'unknown';

/** How bad a verdict is, and the sign that says so without colour. */
export const TONES: Readonly<Record<Verdict, { readonly tone: Tone; readonly sign: string }>> = {
  LOST: { tone: 'bad', sign: '✕' },
  AT_RISK: { tone: 'bad', sign: '!' },
  BLOCKED: { tone: 'bad', sign: '■' },
  STALLED: { tone: 'bad', sign: '❚❚' },
  RISING: { tone: 'warn', sign: '▲' },
  BEHIND: { tone: 'warn', sign: '◆' },
  SILENT: { tone: 'warn', sign: '○' },
  RECOVERING: { tone: 'good', sign: '▼' },
  UNKNOWN: { tone: 'unknown', sign: '?' },
  OK: { tone: 'good', sign: '✓' },
  IDLE: { tone: 'good', sign: '–' },
};

/** Whether a consumer waits for a person. */
export function needsYou(verdict: Verdict): boolean {
  return TONES[verdict].tone !== 'good';
}

/** `2 of 7 consumers need you`, `All 7 consumers keep up`. */
export function headline(verdicts: readonly Verdict[]): string {
  const all = verdicts.length;
  const needing = verdicts.filter(needsYou).length;
  if (all === 0) return 'No consumers yet';
  if (all === 1) return needing === 1 ? 'The consumer needs you' : 'The consumer keeps up';
  if (needing === 0) return all === 2 ? 'Both consumers keep up' : `All ${count(all)} consumers keep up`;
  return `${count(needing)} of ${count(all)} consumers ${needing === 1 ? 'needs' : 'need'} you`;
}

/** In three or four characters: `7`, `842`, `1.2k`, `15k`, `2.5m`. */
export function brief(value: number): string {
  return new Intl.NumberFormat('en-US', {
    notation: 'compact',
    maximumFractionDigits: value < 10_000 ? 1 : 0,
  })
    .format(value)
    .toLowerCase();
}

/** A sum of which some parts may be unknown; null where all are. */
export function sum(values: readonly (number | null | undefined)[]): number | null {
  const known = values.flatMap((value) => value ?? []);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

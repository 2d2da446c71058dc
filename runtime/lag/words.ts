/** Numbers as evidence has them. */
import { isDate } from '../dates.ts';

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** The two largest units of a time: `13 d 23 h`, `2 min`, `4 s`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const units: [string, number][] = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3_600) % 24],
    ['min', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ];
  const first = units.findIndex(([, value]) => value > 0);
  if (first < 0) return '0 s';
  const shown = units.slice(first, first === 2 ? first + 1 : first + 2).filter(([, value]) => value > 0);
  return shown.map(([unit, value]) => `${value} ${unit}`).join(' ');
}

/** `2026-11-27 03:02:05Z`. */
export function moment(at: number): string {
  if (!isDate(at)) return 'an unknown time';
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** `4,000/s`, `0.3/s`. */
export function rate(perSecond: number): string {
  return `${perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : count(perSecond)}/s`;
}

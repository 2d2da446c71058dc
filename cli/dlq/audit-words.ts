/** What the audit log has of an action, in words. What a version does not know is named as it is. */
import type { AuditEntry, UnreadableEntry } from '../../runtime/dead-letters/audit-log.ts';
import { duration, plural } from '../terminal.ts';

type Facts = Readonly<Record<string, unknown>>;
type Action = AuditEntry['action'];

/** What is done to letters; the rest is done to the consumer itself. */
const LETTER_ACTIONS: readonly Action[] = ['redrive', 'move', 'discard', 'import'];

/** `redrive of 31 letters of orders (all)`, `shadow replay of orders, from … to …`. */
export function planText({
  action,
  consumer,
  plan,
}: Pick<AuditEntry, 'action' | 'consumer' | 'plan'>): string {
  if (LETTER_ACTIONS.includes(action)) return letterPlanText(action, consumer, plan);
  // The code is a hash, for programs.
  const { kind, generation, records, env, rate, code: _, ...others } = plan;
  if (action === 'reveal') return revealText(plan);
  if (action === 'release') return `release of a key of ${consumer}${detailsText(plan)}`;
  const what =
    kind === 'shadow'
      ? 'shadow replay'
      : kind === 'gaps'
        ? 'replay of the gaps'
        : generation === undefined
          ? action
          : `${action} ${action === 'rollback' ? 'to' : 'of'} generation ${generation}`;
  return [
    `${what} of ${consumer}`,
    env === undefined ? '' : ` in ${env}`,
    typeof records === 'number' ? `, ${plural(records, action === 'replay' ? 'offset' : 'record')}` : '',
    typeof rate === 'number' ? `, at most ${rate}/s` : '',
    detailsText(others),
  ].join('');
}

function revealText({ letter, personalData, ...others }: Facts): string {
  const personal = personalData === undefined ? '' : `, personal data ${personalData}`;
  return `reveal of letter ${letter}${personal}${detailsText(others)}`;
}

function letterPlanText(action: Action, consumer: string, plan: Facts): string {
  // A list of offsets is for `millrace audit`.
  const { where, letters, input, reason, offsets: _, ...others } = plan;
  return [
    `${action} of ${typeof letters === 'number' ? plural(letters, 'letter') : 'all letters'} of ${consumer}`,
    where === undefined ? '' : ` (${where})`,
    input === undefined ? '' : ` from ${input}`,
    reason === undefined ? '' : `, because: ${reason}`,
    detailsText(others),
  ].join('');
}

/** Of an entry that cannot be read. */
export function unreadableText({ key, action }: UnreadableEntry): string {
  return `The audit log's entry ${key} cannot be read${action === '' ? '' : `: what it says of this ${action} is lost`}.`;
}

/** What came of it. */
export function resultText({ action, plan, result }: Pick<AuditEntry, 'action' | 'plan' | 'result'>): string {
  if (result === null) return 'no end: it was killed, or is still running';
  if ('error' in result) return `${result.message} [${result.error}]`;
  const text = Object.hasOwn(RESULTS, action) ? RESULTS[action]?.(result, plan) : undefined;
  return text ?? factsOf(result);
}

/** Undefined where the entry is none that this version writes. */
const RESULTS: Partial<Record<Action, (result: Facts, plan: Facts) => string | undefined>> = {
  // The plan has named the file.
  discard: ({ export: file, ...counts }, plan) =>
    factsOf(file === plan.export ? counts : { ...counts, export: file ?? null }),
  reveal: () => 'its values were shown in the console',
  pause: pausedText('paused'),
  resume: pausedText('goes on'),
  replay({ isWhole, consumer: _, tables, records, ...counts }, { kind }) {
    if (kind !== 'shadow')
      return `${factsOf(counts)}${isWhole === false ? '; it was interrupted, and the same command continues it' : ''}`;
    if (!Array.isArray(tables)) return undefined;
    const differences = tables.filter(Boolean).map(({ table, ...rows }) => `; ${table}: ${factsOf(rows)}`);
    const part = isWhole === false ? '; only part of what the live tables were made of' : '';
    return `${plural(Number(records), 'record')} replayed${differences.join('')}${part}`;
  },
  rebuild: ({ generation, records, deadLetters, ...others }) =>
    `generation ${generation} is filled: ${plural(Number(records), 'record')}, ${plural(Number(deadLetters), 'dead letter')}${detailsText(others)}`,
  promote: switchedText,
  rollback: switchedText,
  drop: (result, { generation }) =>
    `${generation === undefined ? 'it' : `generation ${generation}`} is deleted, with its tables, its ledger and its dead letters${detailsText(result)}`,
};

function pausedText(now: string): (result: Facts) => string {
  return ({ before, ...others }) => `${now}; before: ${before}${detailsText(others)}`;
}

function switchedText({ from, to, heldMs, ...others }: Facts): string {
  const held = typeof heldMs === 'number' ? `; readers waited ${heldMs} ms` : '';
  return `readers see generation ${to}, no longer generation ${from}${held}${detailsText(others)}`;
}

function detailsText(facts: Facts): string {
  return Object.keys(facts).length === 0 ? '' : `; ${factsOf(facts)}`;
}

/** `ratePerSecond: 100` as `rate per second 100`. */
function factsOf(facts: Facts): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => {
      const words = name.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      if (name.endsWith('Ms')) return `${words} ${duration(Number(value))}`;
      return `${words} ${typeof value === 'object' ? JSON.stringify(value) : value}`;
    })
    .join(', ');
}

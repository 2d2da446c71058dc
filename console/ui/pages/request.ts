/** What the URL of a plan asks for, and how the page says it back as a command. */
import { type ActionPlan, type ActionRequest, NO_REASON, type ParkedKeyName } from '../../operations.ts';
import { shellQuoted } from '../words.ts';

/** What the command has, too. */
export const DEFAULTS = { canary: 5, rate: 100, failures: 20 } as const;
export const LEAST = { canary: 0, rate: 1, failures: 1 } as const;
export const TITLES = {
  canary: 'Letters to try first',
  rate: 'Letters a second, at most',
  failures: 'Stop after failures',
} as const;
export type Setting = keyof typeof DEFAULTS;

/**
 * @param query the URL's: what is asked for, and how
 * @returns null where it asks for what is no action
 */
export function requestOf(query: URLSearchParams, reason: string): ActionRequest | null {
  const consumer = query.get('consumer') ?? '';
  const where = query.get('where') ?? '';
  const kind = query.get('kind') ?? 'redrive';
  const whole = (name: Setting) => {
    const value = Number(query.get(name) ?? DEFAULTS[name]);
    return Number.isSafeInteger(value) && value >= LEAST[name] ? value : DEFAULTS[name];
  };
  if (kind === 'park-release' || kind === 'park-skip' || kind === 'park-discard') {
    return { kind, consumer, key: keyOf(query), reason };
  }
  if (kind === 'discard') return { kind, consumer, where, reason };
  if (kind !== 'redrive') return null;
  return {
    kind: 'redrive',
    consumer,
    where,
    allowOvertaken: query.get('overtaken') === 'yes',
    canary: whole('canary'),
    rate: whole('rate'),
    maxFailures: whole('failures'),
  };
}

/** What a URL has of a parked key: `keyOf` reads it. */
export function keyQuery(name: ParkedKeyName): Readonly<Record<string, string | number>> {
  return 'letter' in name ? { letter: name.letter } : { partition: name.partition, key: name.base64 };
}

function keyOf(query: URLSearchParams): ParkedKeyName {
  const letter = query.get('letter');
  if (letter !== null) return { letter };
  return { base64: query.get('key') ?? '', partition: Number(query.get('partition') ?? 0) };
}

/** What is no number for a setting, in words; null where all are. */
export function wrongSetting(query: URLSearchParams): string | null {
  for (const [name, least] of Object.entries(LEAST)) {
    const text = query.get(name);
    const value = Number(text);
    if (text !== null && !(Number.isSafeInteger(value) && value >= least))
      return `${TITLES[name as Setting]}: type a whole number from ${least}.`;
  }
  return null;
}

/** The plan's command, with the numbers and the reason of now. */
export function commandNow({ command, request: planned }: ActionPlan, request: ActionRequest): string {
  const before = optionsOf(planned);
  const at = command.lastIndexOf(before);
  if (before === '' || at < 0) return command;
  return command.slice(0, at) + optionsOf(request) + command.slice(at + before.length);
}

function optionsOf(request: ActionRequest): string {
  if (request.kind === 'park-release') return '';
  if (request.kind === 'redrive')
    return ` --canary ${request.canary} --rate ${request.rate} --max-failures ${request.maxFailures} `;
  return ` --reason ${shellQuoted(request.reason.trim() || NO_REASON)} `;
}

import type { Logger } from '../runtime/ports.ts';

export interface Problem {
  readonly at: Date;
  readonly level: 'warn' | 'error';
  readonly text: string;
}

const KEPT = 50;
/** A log that keeps the newest warnings and errors, for whoever draws them. */
export function createProblemLog(): { readonly log: Logger; problems(): readonly Problem[] } {
  const problems: Problem[] = [];
  const keep =
    (level: Problem['level']) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      problems.push({ at: new Date(), level, text: [message, ...describe(fields)].join('  ') });
      if (problems.length > KEPT) problems.shift();
    };
  return {
    log: { debug() {}, info() {}, warn: keep('warn'), error: keep('error') },
    problems: () => problems,
  };
}

/** The facts of a line that are worth a glance: the code, the record, then the others. */
function describe({
  requestId: _,
  code,
  topic,
  partition,
  offset,
  ...others
}: Readonly<Record<string, unknown>>): string[] {
  const record = offset === undefined ? topic : `${topic}/${partition}/${offset}`;
  const rest = Object.entries(others).map(([name, value]) => `${name}=${text(value)}`);
  return [code, record, ...rest].filter((fact) => fact !== undefined).map(text);
}

function text(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

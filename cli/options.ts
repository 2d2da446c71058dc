import { dirname, join, relative } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { isStateFolder } from '../local/state-folder.ts';
import { DEFAULT_STATE } from '../runtime/commands.ts';
import { isOrigin } from '../runtime/environment.ts';
import { hasConfig } from './app.ts';
import { otherNames } from './consumers.ts';

export function stateOption(): Option {
  return new Option('--state <dir>', 'the folder that keeps topics, queues and the sink')
    .default(nearestState(), DEFAULT_STATE)
    .argParser((path: string) => {
      if (path !== '') return path;
      throw new InvalidArgumentError('Give a folder, such as .millrace.');
    });
}

/** The state folder of the working folder, or of the project that the working folder is in. */
export function nearestState(from: string = process.cwd()): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, DEFAULT_STATE);
    if (isStateFolder(path) || hasConfig(folder)) return relative(from, path);
    if (folder === dirname(folder)) return DEFAULT_STATE;
  }
}

/** Refuses the command line, with the closest name, unless `--env` names an environment of the app. */
export function checkEnvironment(command: Command, env: string, environments: object): void {
  if (Object.hasOwn(environments, env)) return;
  const names = Object.keys(environments);
  const next = names.length === 0 ? ' Make one: npx millrace add environment NAME.' : otherNames(env, names);
  command.error(`error: the app has no environment "${env}".${next}`);
}

export function jsonOption(description = 'print JSON'): Option {
  return new Option('--json', description);
}

/** A number from 0 to 1. */
export function share(text: string): number {
  const value = toNumber(text);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('Give a share from 0 to 1, such as 0.01.');
}

export function seconds(text: string): number {
  const value = toNumber(text);
  if (value >= 0 && value <= 86_400) return value;
  throw new InvalidArgumentError('Give seconds from 0 to 86400, such as 2.5.');
}

export function recordsPerSecond(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const value = toNumber(text);
  if (value > 0 && value <= 1_000_000) return value;
  throw new InvalidArgumentError('Give records a second, above 0 and up to 1000000, or "max".');
}

/** `contentId=/about`: a field of a record, and what it holds. */
export function fieldValue(text: string): { readonly field: string; readonly value: string } {
  const [, field, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? [];
  if (field !== undefined && value !== undefined) return { field, value };
  throw new InvalidArgumentError('Give a field and its value, such as contentId=/about.');
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `2h`, which counts back from now, or `2026-11-24T10:00Z`, in epoch milliseconds; undefined for anything else. */
export function readTime(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (amount !== undefined) return Date.now() - Number(amount) * UNITS_MS[unit!]!;
  // Date.parse takes much that nobody means, such as "3".
  const epochMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(epochMs) ? undefined : epochMs;
}

/** A point in time, as an option takes it. */
export function pointInTime(text: string): number {
  const epochMs = readTime(text);
  if (epochMs !== undefined) return epochMs;
  throw new InvalidArgumentError('Give a time such as 2h, which counts back from now, or 2026-11-24T10:00Z.');
}

export function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    const value = toNumber(text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`Give a whole number from ${least}.`);
  };
}

export function tcpPort(text: string): number {
  const value = toNumber(text);
  if (Number.isInteger(value) && value <= 65_535) return value;
  throw new InvalidArgumentError('Give a port from 1 to 65535, or 0 for any free one.');
}

/** One value of several: as a browser writes it in `Origin`, because nothing else would ever match. */
export function webOrigin(text: string, earlier: readonly string[] = []): readonly string[] {
  if (text === '*' || isOrigin(text)) return [...earlier, text];
  throw new InvalidArgumentError(
    'Give origins as browsers write them, such as http://localhost:3000, without a path; or "*".',
  );
}

function toNumber(text: string): number {
  // Number('') is 0 and Number('0x1') is 1: neither is what a person means.
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

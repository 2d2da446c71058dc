import { isDeepStrictEqual } from 'node:util';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { didYouMean } from '../../runtime/closest-name.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import { ERRORS } from '../../runtime/errors.ts';
import { readTime, stateOption } from '../options.ts';
import { kafkaAuthOption, kafkaOption } from '../outside-options.ts';
import { registryOption } from '../registry-option.ts';
import { either, printable } from '../terminal.ts';

/** Where the dead letters are. */
export function withDlqOptions(command: Command): Command {
  return command
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption());
}

function envOption(): Option {
  return new Option(
    '--env <name>',
    'an environment on AWS, by your own credentials, instead of --state',
  ).argParser((name) => {
    if (/^[a-z][a-z0-9-]*$/.test(name)) return name;
    throw new InvalidArgumentError("Give an environment's name, such as prod.");
  });
}

/** For a command that only looks. */
export function consumerOption(): Option {
  return new Option('--consumer <name>', 'whose dead letters (default: every consumer)');
}

/** For a command that changes something. */
export function oneConsumerOption(): Option {
  return new Option('--consumer <name>', 'whose dead letters (default: the only consumer)');
}

export function showValuesOption(description: string): Option {
  return new Option('--show-values', `${description}, personal data included`);
}

export function whereOption(): Option {
  return new Option(
    '--where <conditions>',
    'only the letters that meet every condition, such as error=HANDLER_FAILED,since=2h (below)',
  )
    .argParser(parseWhere)
    .default({}, 'all');
}

export const WHERE_HELP = `
Conditions of --where; separate several with commas:
  error=HANDLER_FAILED      stage=handle          at=orders/consumer.ts:29
  topic=news.pageviews      partition=3           offset=1042, offset=1000-1999
  schema=<id>               id=<consumer/topic/partition/offset>
  overtaken=yes             a newer record of its key was applied since
  since=2h                  until=2026-11-24T10:00Z
"since" and "until" compare when a record last failed. s, m, h and d count back
from now.`;

const STAGES = ['deliver', 'decode', 'handle', 'write'];

type Reader = (value: string) => Partial<LetterFilter> | undefined;

interface Condition {
  readonly takes: string;
  readonly read: Reader;
  /** Where there are only so many values. */
  readonly names?: readonly string[];
}

const CONDITIONS: Readonly<Record<string, Condition>> = {
  error: {
    takes: 'an error code, such as HANDLER_FAILED',
    // A later version may have codes that this one does not know.
    read: (error) =>
      Object.hasOwn(ERRORS, error) || (/^[A-Z_]+$/.test(error) && !didYouMean(error, Object.keys(ERRORS)))
        ? { error }
        : undefined,
    names: Object.keys(ERRORS),
  },
  stage: {
    takes: 'deliver, decode, handle or write',
    read: (stage) => (STAGES.includes(stage) ? { stage } : undefined),
    names: STAGES,
  },
  topic: { takes: 'a topic', read: (topic) => (topic ? { topic } : undefined) },
  partition: {
    takes: 'a whole number from 0',
    read: (text) => (/^\d{1,9}$/.test(text) ? { partition: Number(text) } : undefined),
  },
  schema: { takes: 'a schema id', read: (schema) => (schema ? { schema } : undefined) },
  at: {
    takes: 'a file and a line as triage shows them, such as orders/consumer.ts:29',
    read: (at) => (/^[^:]+:\d+$/.test(at) ? { at } : undefined),
  },
  overtaken: {
    takes: 'yes or no',
    read: (text) => (text === 'yes' || text === 'no' ? { overtaken: text === 'yes' } : undefined),
    names: ['yes', 'no'],
  },
  id: { takes: 'consumer/topic/partition/offset', read: (id) => (id ? { id } : undefined) },
  offset: { takes: 'an offset, or two with a dash between them, such as 1000-1999', read: readOffset },
  since: {
    takes: 'a time, such as 2h or 2026-11-24T10:00Z',
    read: (text) => timed(text, (since) => ({ since })),
  },
  until: {
    takes: 'a time, such as 30m or 2026-11-24T10:00Z',
    read: (text) => timed(text, (until) => ({ until })),
  },
};

/** `error=CODE,partition=3` as a filter. */
export function parseWhere(text: string): LetterFilter {
  let filter: LetterFilter = {};
  for (const condition of text.split(',')) {
    const [, name = '', value = ''] = /^\s*([^=]*)=(.*?)\s*$/s.exec(condition) ?? [];
    const known = Object.hasOwn(CONDITIONS, name) ? CONDITIONS[name] : undefined;
    if (!known) {
      throw new InvalidArgumentError(
        `Unknown condition ${JSON.stringify(condition)}.${didYouMean(
          name,
          Object.keys(CONDITIONS),
        )} Use ${Object.keys(CONDITIONS).join('=, ')}=; separate several with commas.`,
      );
    }
    const read = known.read(value);
    if (!read) {
      const closest = didYouMean(value, known.names ?? []);
      throw new InvalidArgumentError(
        `${name}= takes ${known.takes}; got ${JSON.stringify(value)}.${closest}`,
      );
    }
    if (Object.keys(read).some((key) => key in filter)) {
      throw new InvalidArgumentError(
        `${name}= is given twice. Give it once, and run the command again for the other.`,
      );
    }
    filter = { ...filter, ...read };
  }
  return filter;
}

function readOffset(text: string): Partial<LetterFilter> | undefined {
  const [, first, last] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  const from = Number(first);
  const to = last === undefined ? from : Number(last);
  return to >= from ? { offset: { from, to } } : undefined;
}

function timed(
  text: string,
  as: (epochMs: number) => Partial<LetterFilter>,
): Partial<LetterFilter> | undefined {
  const epochMs = readTime(text);
  return epochMs === undefined ? undefined : as(epochMs);
}

/** The filter in words, for plans and the audit log. */
export function describeFilter(filter: LetterFilter): string {
  const conditions = conditionsOf(filter);
  return conditions.length > 0 ? conditions.join(', ') : 'all';
}

/** The filter as --where takes it; undefined where --where cannot say it. */
export function whereText(filter: LetterFilter): string | undefined {
  const text = conditionsOf(filter).join(',');
  try {
    return printable(text) === text && isDeepStrictEqual(parseWhere(text), filter) ? text : undefined;
  } catch (error) {
    if (error instanceof InvalidArgumentError) return undefined;
    throw error;
  }
}

function conditionsOf(filter: LetterFilter): readonly string[] {
  return Object.entries(filter).map(([name, value]) => {
    if (name === 'offset') {
      const { from, to } = value as { from: number; to: number };
      return `offset=${from === to ? from : `${from}-${to}`}`;
    }
    if (name === 'overtaken') return `overtaken=${value ? 'yes' : 'no'}`;
    return `${name}=${name === 'since' || name === 'until' ? new Date(value as number).toISOString() : value}`;
  });
}

/** What a command says that finds nothing to show or do. */
export function noneMatch(consumers: string | readonly string[], where: LetterFilter): string {
  const isAll = Object.keys(where).length === 0;
  return `No dead letters of ${either([consumers].flat())}${isAll ? '' : ` match ${describeFilter(where)}`}.`;
}

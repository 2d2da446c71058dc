import { Command } from 'commander';
import { openSourceDatabase } from '../../local/source-database.ts';
import { type CaptureFinding, checkSource } from '../../runtime/capture/check.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { jsonOption } from '../options.ts';
import { columnsOf, epilogue, plural, printJson, printLine, styled, wrapped } from '../terminal.ts';
import { databaseOption, declaredDatabase, roleOption, sourceOption } from './options.ts';

const EXAMPLE = `
Examples:
  millrace capture check --source postgres://me@db.example.com/shop
  millrace capture check --source "$DATABASE_URL" --json | jq '.[] | select(.fix)'

It changes nothing. It exits with 1 when something has to be done first.`;

interface CheckOptions {
  readonly source: string;
  readonly database?: string;
  readonly role: string;
  readonly json?: true;
}

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'Compares what is declared with the real database, and says what to do about each difference.',
    )
    .addOption(sourceOption())
    .addOption(databaseOption())
    .addOption(roleOption())
    .addOption(jsonOption('print an array with an object for each thing that was looked at'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async ({ source, database: name, role, json }: CheckOptions) => {
      const { database, tables } = await declaredDatabase(name);
      const opened = await openSourceDatabase(source);
      const findings = await opened
        .facts(database, tables, role)
        .then((facts) => checkSource(database, tables, facts, { role }))
        .finally(() => opened.close());
      if (json) printJson(findings);
      else for (const line of findings.flatMap((finding) => linesFor(finding, columnsOf()))) printLine(line);
      const problems = findings.filter(({ verdict }) => verdict === 'problem');
      if (problems.length === 0) return;
      throw new MillraceError(
        'CAPTURE_REFUSED',
        `${plural(problems.length, 'thing')} of ${database.name} must be put right before it can be captured. Do what stands beside each, and check again.`,
        { details: { database: database.name, subjects: problems.map(({ subject }) => subject) } },
      );
    });
}

const MARKS = { ok: ['green', 'ok  '], note: ['yellow', 'note'], problem: ['red', 'FAIL'] } as const;
const INDENT = 6;

function linesFor({ verdict, subject, text, fix }: CaptureFinding, columns: number): readonly string[] {
  const [style, mark] = MARKS[verdict];
  const [first = '', ...rest] = wrapped(`${subject}: ${text}`, columns - INDENT, 2);
  return [
    `${styled(style, mark)}  ${first}`,
    ...rest.map((line) => `${' '.repeat(INDENT)}${line}`),
    // Not wrapped: a command has to survive being copied.
    ...(fix === undefined ? [] : [`${' '.repeat(INDENT)}${styled('bold', 'Fix:')} ${fix}`]),
  ];
}

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { discardLetters } from '../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import { offsetsOfLetters, type PlacedLetter, placeOf } from '../../runtime/replay/evidence.ts';
import { hint } from '../hints.ts';
import { jsonOption } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { count, epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { lineOf, openExport } from './export-file.ts';
import { describeFilter, noneMatch, oneConsumerOption, WHERE_HELP, whereOption } from './options.ts';
import { chosenReader } from './overtaken.ts';
import { auditedAt, chooseConsumer, type DlqSessionOptions, inDlqSession } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq discard --where error=FRAME_UNKNOWN --reason "from a load test"
${WHERE_HELP}

Nothing is lost: Millrace first writes the letters to a file, which
"millrace dlq import" reads. The file holds the original bytes, personal data
included; only its owner can read it. "millrace audit" and "millrace find" then
say that these records were discarded.`;

interface DiscardOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly reason: string;
  readonly export?: string;
  readonly yes?: true;
  readonly json?: true;
}

export function discardCommand(): Command {
  return new Command('discard')
    .description('Removes dead letters that nobody wants applied, and keeps them in a file.')
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('--export <file>', 'the file that keeps them (default: a new one in the state folder)')
    .option('--yes', 'do not ask for confirmation')
    .addOption(postgresOption())
    .addOption(jsonOption('print {discarded, export}; needs --yes'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DiscardOptions, command: Command) => {
      if (!options.reason.trim())
        command.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, command);
      await inDlqSession(await chooseConsumer(options.consumer, options), options, async (session) => {
        const { resources, named, folder } = session;
        const where = describeFilter(options.where);
        // What matches later was not confirmed.
        const planned = new Set<string>();
        const reader = await chosenReader(session, options);
        for await (const copy of reader.scan()) {
          if (!matches(copy, options.where)) continue;
          planned.add(copy.ref);
        }
        if (planned.size === 0) {
          if (options.json) return printJson({ discarded: 0, export: null });
          return printLine(noneMatch(named, options.where));
        }
        printNote(`Discard ${plural(planned.size, 'dead letter')} of ${named} (${session.at}): ${where}`);
        await confirm(options, named);

        const id = randomUUID();
        const path = options.export ?? join(folder.path, `discarded-${id}.jsonl`);
        const plan = { where, letters: planned.size, reason: options.reason, export: path };
        const result = await auditedAt(session, { id, action: 'discard', plan }, async (note) => {
          const file = openExport(path);
          const gone: PlacedLetter[] = [];
          try {
            const discarded = await discardLetters(resources.reader, planned, async (copies) => {
              for (const copy of copies) file.write(await lineOf(copy, resources.objects));
              file.flush();
              gone.push(...copies.flatMap((copy) => ('letter' in copy ? [placeOf(copy.letter)] : [])));
              // What tells the audit from then on that nobody wants these records.
              await note({ offsets: offsetsOfLetters(gone) });
            });
            return { discarded, export: path };
          } finally {
            file.close();
          }
        });
        if (options.json) printJson(result);
        else {
          printLine(`${count(result.discarded)} discarded. They are in ${path}; to take them back:`);
          printLine(`  ${hint(['dlq', 'import', '--consumer', named, '--input', path], session.place)}`);
        }
      });
    });
}

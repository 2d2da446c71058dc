import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { type Copy, type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import { jsonOption } from '../options.ts';
import { count, plural, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { atDesk, auditedAt, chooseConsumer, type DeskOptions } from './desk.ts';
import { openExport } from './export-file.ts';
import { consumerOption, describeFilter, WHERE_HELP, whereOption } from './options.ts';

const EXAMPLE = `
Example:
  millrace dlq discard --where error=FRAME_UNKNOWN --reason "load test by a client without a schema"
${WHERE_HELP}

Nothing is lost by it: an export is written first, which "millrace dlq import" takes back. The ledger goes on to say that
these records were not applied.`;

interface DiscardOptions extends DeskOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly reason: string;
  readonly export?: string;
  readonly yes?: true;
  readonly json?: true;
}

/** So many are exported, and on the disk, before they are taken away. */
const BATCH = 10;

export function discardCommand(): Command {
  return new Command('discard')
    .description('Takes dead letters away that nobody wants applied, after an export of them.')
    .addOption(consumerOption())
    .addOption(whereOption())
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('--export <file>', 'where the export goes (default: a new file in the state folder)')
    .option('--yes', 'do not ask')
    .addOption(jsonOption('print {discarded, export}; takes --yes'))
    .addHelpText('after', EXAMPLE)
    .action(async (options: DiscardOptions, command: Command) => {
      if (!options.reason.trim())
        command.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, command);
      await atDesk(chooseConsumer(options.consumer), options, async (desk) => {
        const { places, consumer, folder } = desk;
        const where = describeFilter(options.where);
        let planned = 0;
        for await (const copy of places.shelf.look()) if (matches(copy, options.where)) planned++;
        if (planned === 0) {
          if (options.json) return printJson({ discarded: 0, export: null });
          return printLine(`No dead letters of ${consumer.name} match: ${where}.`);
        }
        printNote(
          `To be discarded: ${plural(planned, 'dead letter')} of ${consumer.name}, in ${desk.at}: ${where}`,
        );
        await confirm(options, consumer.name);

        const id = randomUUID();
        const path = options.export ?? join(folder.path, `discarded-${id}.jsonl`);
        const plan = { where, letters: planned, reason: options.reason, export: path };
        const result = await auditedAt(desk, { id, action: 'discard', plan }, async () => {
          const file = openExport(path);
          let discarded = 0;
          let batch: Copy[] = [];
          const flush = async () => {
            for (const copy of batch) await file.write(copy, places.objects);
            file.flush();
            await places.shelf.remove(batch);
            discarded += batch.length;
            batch = [];
          };
          try {
            for await (const copy of places.shelf.look()) {
              if (!matches(copy, options.where)) continue;
              batch.push(copy);
              if (batch.length === BATCH) await flush();
            }
            await flush();
          } finally {
            file.close();
          }
          return { discarded, export: path };
        });
        if (options.json) printJson(result);
        else printLine(`${count(result.discarded)} discarded. They are in ${path}.`);
      });
    });
}

import { Command } from 'commander';
import { shellQuoted } from '../../runtime/commands.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { allPages, type WaitingKey } from '../../runtime/replay/waiting-keys.ts';
import { CommandFailed } from '../command-failed.ts';
import { keyText, type View } from '../dlq/letter-view.ts';
import { consumerOption, showValuesOption } from '../dlq/options.ts';
import { type DlqSession, inEachDlqSession } from '../dlq/session.ts';
import { hint } from '../hints.ts';
import { jsonOption, wholeFrom } from '../options.ts';
import {
  duration,
  epilogue,
  plural,
  printable,
  printJson,
  printLine,
  printNote,
  styled,
  table,
} from '../terminal.ts';
import { type ParkOptions, waitingJson, waitingWords, withWaitingKeys } from './keys.ts';

const EXAMPLE = `
Examples:
  millrace park list
  millrace park list --json | jq '.keys[] | select(.oldestAgeMs > 3600000)'

A key that contracts tag as personal data is shown only with --show-values.`;

const TABLE_LIMIT = 20;

interface ListOptions extends ParkOptions {
  readonly limit?: number;
  readonly showValues?: true;
}

export function listCommand(): Command {
  return new Command('list')
    .description('Lists the keys that have parked records, those that have waited longest first.')
    .addOption(consumerOption())
    .option('--limit <n>', 'at most this many (default: 20 a consumer, all with --json)', wholeFrom(1))
    .addOption(showValuesOption('show keys as they are'))
    .addOption(
      jsonOption('print {keys: [{consumer, topic, partition, key, records, oldestAgeMs, blockedBy}]}'),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: ListOptions) => {
      const found: object[] = [];
      const names: string[] = [];
      let seen = 0;
      const { isWhole } = await inEachDlqSession(options.consumer, options, async (session) => {
        names.push(session.named);
        const owner = ledgerOwner(session.consumer);
        const all = await withWaitingKeys(session, options, (keys) =>
          allPages((from) => keys.list(owner, from)),
        );
        const sorted = all.toSorted((a, b) => (a.oldestAt ?? 0) - (b.oldestAt ?? 0));
        const view: View = { topic: session.consumer.topic, showsValues: options.showValues === true };
        if (options.json) {
          const left = (options.limit ?? Number.POSITIVE_INFINITY) - found.length;
          const now = Date.now();
          found.push(
            ...sorted.slice(0, Math.max(0, left)).map((each) => waitingJson(each, session, view, now)),
          );
          return;
        }
        if (sorted.length === 0) return;
        if (seen > 0) printLine();
        seen += sorted.length;
        printKeys(sorted, options.limit ?? TABLE_LIMIT, session, view);
      });
      if (options.json) printJson({ keys: found });
      else if (seen === 0) printLine(`No records of ${names.join(', ')} are parked.`);
      if (!isWhole) throw new CommandFailed();
    });
}

const right = { align: 'right' as const };
const COLUMNS = [
  { title: 'partition', ...right },
  { title: 'parked', ...right },
  { title: 'for', ...right },
  { title: 'behind letter', ...right },
  { title: 'key' },
];

function printKeys(keys: readonly WaitingKey[], limit: number, session: DlqSession, view: View): void {
  const records = keys.reduce((sum, each) => sum + each.records, 0);
  printLine(
    styled(
      'bold',
      printable(`${session.named}: ${plural(records, 'parked record')} of ${plural(keys.length, 'key')}`),
    ),
  );
  const shown = keys.slice(0, limit);
  const now = Date.now();
  const [head = '', ...rows] = table(
    COLUMNS,
    shown.map((each) => [
      String(each.partition),
      String(each.records),
      each.oldestAt === null ? '-' : duration(Math.max(0, now - each.oldestAt)),
      each.blockedBy === null ? 'none' : String(each.blockedBy),
      keyText(each.key, view),
    ]),
  ).split('\n');
  printLine(head);
  for (const [at, row] of rows.entries()) {
    printLine(row);
    const [flag = '', value = ''] = waitingWords(shown[at]!, view, session) ?? [];
    if (flag.startsWith('--')) printLine(styled('dim', `    ${flag} ${shellQuoted(value)}`));
  }
  const more =
    keys.length > shown.length
      ? `${plural(keys.length - shown.length, 'more key')}; --limit shows more. `
      : '';
  printNote(
    `${more}To see one: ${hint(['park', 'show', '--consumer', session.named, 'KEY'], session.place)}`,
  );
}

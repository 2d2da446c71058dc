import { Command, Option } from 'commander';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { connectSource } from '../../local/source-database.ts';
import { type WarehouseTarget, warehousePrograms } from '../../local/warehouse/python.ts';
import { reconcile } from '../../local/warehouse/reconcile.ts';
import { archiveOf } from '../../runtime/archive/archive.ts';
import { capturedTables } from '../../runtime/capture/table.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ComparedRow } from '../../runtime/warehouse/compare.ts';
import { loadApp } from '../app.ts';
import { sourceOption } from '../capture/options.ts';
import { CommandFailed } from '../command-failed.ts';
import { otherNames } from '../consumers.ts';
import { jsonOption, seconds } from '../options.ts';
import { count, epilogue, plural, printable, printJson, printLine, printNote } from '../terminal.ts';
import { dbtOption, projectFolder, projectOption, requireProject, targetOption } from './options.ts';

const EXAMPLE = `
Example:
  millrace warehouse reconcile articles --source postgres://reader@db.example/news

Reads one snapshot of the source, waits until the warehouse has passed the source's
position and the window of the table's archive is over, and compares all rows and all
declared columns. Rows that differ are read once more, after the same wait. The exit
code is 1 where a row differs.`;

interface ReconcileOptions {
  readonly source: string;
  readonly project?: string;
  readonly target: WarehouseTarget;
  readonly dbt?: string;
  readonly timeout: number;
  readonly showValues?: true;
  readonly json?: true;
}

export function reconcileCommand(): Command {
  return new Command('reconcile')
    .argument('<table>', 'its name in the warehouse')
    .description("Compares a table of the warehouse with its source's.")
    .addOption(sourceOption())
    .addOption(targetOption())
    .addOption(projectOption('--project <dir>', 'the folder of the dbt project'))
    .addOption(dbtOption())
    .addOption(
      new Option('--timeout <s>', "how long the warehouse may take to pass the source's position")
        .default(300)
        .argParser(seconds),
    )
    .option('--show-values', 'show what differs, not only where')
    .addOption(jsonOption('print one object: counts, checksums, and the first rows that differ'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, options: ReconcileOptions) => {
      const app = await loadApp();
      const tables = capturedTables(app.tables);
      const table = tables.find((each) => each.name === name);
      const names = tables.map((each) => each.name);
      if (!table) {
        throw new MillraceError(
          'INPUT_INVALID',
          names.length === 0
            ? 'The app declares no tables. List them under tables in millrace.config.ts.'
            : `The app declares no table ${JSON.stringify(name)}.${otherNames(name, names)}`,
        );
      }
      const { target, dbt, showValues = false } = options;
      const cwd = requireProject(projectFolder(app.root, options.project));
      const archive = archiveOf(table.topic.name, app.consumers);
      // First what is soon looked at: dbt takes a minute to install.
      const source = await connectSource(options.source);
      const result = await warehousePrograms(app.root, target, {
        note: printNote,
        ...(dbt !== undefined && { dbt }),
      })
        .then(({ python }) =>
          reconcile({
            table,
            source,
            python,
            target,
            env: process.env,
            cwd,
            windowMs: archive?.batch.windowMs ?? 0,
            clock: systemClock,
            timeoutMs: options.timeout * 1_000,
            note: printNote,
          }),
        )
        .finally(() => source.end());
      const { differences, missing, extra, different, expected, actual, ranges, position, changing } = result;
      const valuesOf = (row: ComparedRow | null) =>
        row && Object.fromEntries(table.columns.map((column, at) => [column.name, row.values[at]]));
      const first = differences.slice(0, FIRST).map(({ kind, key, columns, ...rows }) => ({
        kind,
        key,
        columns,
        ...(showValues && { expected: valuesOf(rows.expected), actual: valuesOf(rows.actual) }),
      }));
      const total = missing + extra + different;
      if (options.json) {
        printJson({
          table: name,
          target,
          position,
          source: expected,
          warehouse: actual,
          ranges,
          missing,
          extra,
          different,
          changing,
          first,
        });
      } else {
        printLine(`source     ${plural(expected.rows, 'row')}, checksum ${expected.checksum}`);
        printLine(`warehouse  ${plural(actual.rows, 'row')}, checksum ${actual.checksum}`);
        printLine(
          `${count(ranges.alike)} of ${count(ranges.compared)} ranges of keys alike at ${position}; missing ${missing}, extra ${extra}, different ${different}`,
        );
        if (changing > 0) printLine(`${plural(changing, 'row')} changed meanwhile: run this again for them`);
        for (const { kind, key, columns, ...rows } of first) {
          printLine(
            `${kind.padEnd(9)}  ${printable(key)}${columns.length > 0 ? `: ${columns.join(', ')}` : ''}`,
          );
          if (showValues) printLine(`           ${printable(JSON.stringify(rows))}`);
        }
      }
      if (total === 0) return;
      if (options.json) throw new CommandFailed();
      throw new MillraceError(
        'WAREHOUSE_DIFFERS',
        `${plural(total, 'row')} of ${name} ${total === 1 ? 'differs' : 'differ'} from the source. docs/warehouse.md says what can be the reason, and how the rows are given again.`,
        { details: { table: name, missing, extra, different } },
      );
    });
}

/** How many rows that differ are named. */
const FIRST = 20;

import { Command } from 'commander';
import { type WarehouseTarget, warehousePrograms } from '../../local/warehouse/python.ts';
import { runWarehouse } from '../../local/warehouse/warehouse.ts';
import { loadApp } from '../app.ts';
import { jsonOption } from '../options.ts';
import { count, duration, epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import {
  type ArchiveChoice,
  archiveOptions,
  dbtOption,
  openArchive,
  projectFolder,
  projectOption,
  requireProject,
  targetOption,
} from './options.ts';

const EXAMPLE = `
Examples:
  millrace warehouse run                what "millrace up" has archived here
  millrace warehouse run --archive s3://news-archive --target postgres
  millrace warehouse run --target snowflake --json

DuckDB is the file MILLRACE_DUCKDB_PATH, PostgreSQL the server MILLRACE_WAREHOUSE_HOST,
Snowflake the account SNOWFLAKE_ACCOUNT: profiles.yml lists all variables. Snowflake
loads from its stage by itself; the others load from --archive.`;

interface RunOptions extends ArchiveChoice {
  readonly project?: string;
  readonly target: WarehouseTarget;
  readonly dbt?: string;
  readonly fullRefresh?: true;
  readonly json?: true;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description('Loads what the archive has new, builds the models, and tests them.')
    .addOption(projectOption('--project <dir>', 'the folder of the dbt project'))
    .addOption(targetOption());
  for (const option of archiveOptions()) command.addOption(option);
  return command
    .addOption(dbtOption())
    .option('--full-refresh', 'build every model anew, from all that was loaded')
    .addOption(jsonOption('print one object: objects, rows, models, tests, warnings, freshnessMs, elapsedMs'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: RunOptions) => {
      const { target, fullRefresh = false, json } = options;
      const began = Date.now();
      const app = await loadApp();
      const folder = requireProject(projectFolder(app.root, options.project));
      // Snowflake loads from its own stage.
      const archive = target === 'snowflake' ? undefined : await openArchive(options);
      const programs = await warehousePrograms(app.root, target, {
        note: printNote,
        ...(options.dbt !== undefined && { dbt: options.dbt }),
      });
      const { beatAt, ...report } = await runWarehouse({
        subject: app,
        folder,
        target,
        programs,
        env: process.env,
        fullRefresh,
        ...(archive && { archive: archive.objects }),
        ...(!json && { onLine: printLine }),
      }).finally(() => archive?.close());
      const elapsedMs = Date.now() - began;
      const freshnessMs = beatAt === undefined ? undefined : Date.now() - beatAt;
      if (json) return printJson({ target, ...report, freshnessMs, elapsedMs });
      printLine();
      for (const warning of report.warnings) printLine(`warning: ${warning}`);
      const facts = [
        ...(report.rows === undefined ? [] : [`${count(report.rows)} rows loaded`]),
        `${plural(report.models, 'model')} built`,
        `${plural(report.tests, 'test')} run`,
        `in ${duration(elapsedMs)}`,
        ...(freshnessMs === undefined ? [] : [`newest change ${duration(freshnessMs)} old`]),
      ];
      printLine(`${target}: ${facts.join(', ')}`);
    });
}

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { openSourceDatabase } from '../../local/source-database.ts';
import { snapshotSignal } from '../../runtime/capture/signal.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { otherNames } from '../consumers.ts';
import { jsonOption, seconds } from '../options.ts';
import { epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import { databaseOption, declaredDatabase, sourceOption } from './options.ts';

const EXAMPLE = `
Examples:
  millrace capture snapshot orders --source "$DATABASE_URL"
  millrace capture snapshot orders --where "placed_at >= '2026-11-01'" \\
                                   --source "$DATABASE_URL"

The rows arrive beside the changes that go on, in chunks of 1,024, as op "r".
Take one after ADD COLUMN … DEFAULT, and after changes were lost. Rows that were
deleted in the meantime do not come: docs/capture.md says what to do about them.`;

const CHUNK_ROWS = 1_024;
/** A snapshot that reads no chunk for so long has ended, or waits for a lock. */
const QUIET_MS = 5_000;
const LOOK_MS = 500;

interface SnapshotOptions {
  readonly source: string;
  readonly database?: string;
  readonly where?: string;
  readonly wait: number;
  readonly json?: true;
}

export function snapshotCommand(): Command {
  return new Command('snapshot')
    .description('Asks the running connector for the rows of one table, by a row in millrace_capture.signal.')
    .argument('<table>', 'its name in the declarations')
    .addOption(sourceOption())
    .addOption(databaseOption())
    .option('--where <sql>', 'only the rows that this condition names')
    .option('--wait <seconds>', 'how long to wait for the connector to take it up; 0 for not', seconds, 60)
    .addOption(jsonOption('print one object'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, { source, database: of, where, wait, json }: SnapshotOptions) => {
      const { tables } = await declaredDatabase(of);
      const table = tables.find((each) => each.name === name || `${each.schema}.${each.table}` === name);
      if (!table) {
        const names = tables.map((each) => each.name);
        throw new MillraceError(
          'INPUT_INVALID',
          `The app declares no table ${JSON.stringify(name)}.${otherNames(name, names)}`,
        );
      }
      const opened = await openSourceDatabase(source);
      try {
        const before = await opened.chunksSince(0).catch(() => 0);
        const signal = snapshotSignal(table, randomUUID(), where);
        await opened.signal(signal);
        if (!json) printNote(`Signal ${signal.id} is written.`);
        const chunks = wait > 0 ? await follow(() => opened.chunksSince(before), wait * 1_000) : 0;
        if (json) printJson({ signal: signal.id, table: table.name, chunks });
        else if (chunks > 0) {
          printLine(
            `The connector has read ${plural(chunks, 'chunk')} of at most ${CHUNK_ROWS.toLocaleString('en-US')} rows.`,
          );
        }
        if (wait > 0 && chunks === 0) {
          throw new MillraceError(
            'CAPTURE_REFUSED',
            `The connector has not taken the signal up within ${wait} seconds. It stays, and is taken up when the connector runs: check that with "millrace capture check".`,
            { details: { signal: signal.id } },
          );
        }
      } finally {
        await opened.close();
      }
    });
}

/** The chunks that were read, once no more come. */
async function follow(chunks: () => Promise<number>, patienceMs: number): Promise<number> {
  let seen = 0;
  for (let quietMs = 0; quietMs < (seen > 0 ? QUIET_MS : patienceMs); quietMs += LOOK_MS) {
    await sleep(LOOK_MS);
    const now = await chunks();
    if (now > seen) quietMs = 0;
    seen = now;
  }
  return seen;
}

// fakesnow, which answers Snowflake's client and runs its SQL on DuckDB: https://github.com/tekumara/fakesnow
//
// Where 0.12.1, tried on 2026-11-27, is not what https://docs.snowflake.com/en/sql-reference says of Snowflake:
//
// - Stages are folders, not S3, without folders below them. LIST gives nothing. COPY INTO takes a table of one column, FILES
//   and the type of the format; with a list of columns, or with ON_ERROR, it fails.
// - No PIPE, no STORAGE INTEGRATION; no temporary table with the name of its database, which dbt makes by default.
// - Nulls, time zones and infinities are DuckDB's.
import { dirname, join } from 'node:path';
import { pythonPackages } from '../../local/parts/downloads.ts';
import { python } from '../../local/parts/prerequisites.ts';
import { freePort } from '../../local/parts/processes.ts';

const VERSION = '0.12.1';
/** With 5, which pip would take, it does not start. */
const CONNECTOR = '4.8.1';

export const fakesnow = {
  name: 'fakesnow',
  variable: 'MILLRACE_TEST_SNOWFLAKE',
  prerequisites: [python],

  download: (processes) =>
    pythonPackages(processes, [`fakesnow[server]==${VERSION}`, `snowflake-connector-python==${CONNECTOR}`]),

  async start(processes, path) {
    const port = await freePort();
    const command = join(dirname(path), 'fakesnow');
    const server = processes.start('fakesnow', command, ['-s', '--host', '127.0.0.1', '-p', String(port)]);
    // It has no page of its own: that it answers at all is enough.
    await server.untilAnswers(() =>
      fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) }),
    );
    return { value: `127.0.0.1:${port}`, version: VERSION };
  },
};

#!/usr/bin/env node
import { run } from '../cli/main.ts';

// node:sqlite says on every start that it is experimental; whoever reads our output can do nothing with that.
const { emitWarning } = process;
process.emitWarning = ((warning: string | Error, ...rest: never[]) => {
  if (!String(warning).startsWith('SQLite is an experimental feature')) emitWarning(warning, ...rest);
}) as typeof process.emitWarning;

// A reader that has seen enough (`| head`) closes the pipe: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

const exitCode = await run(process.argv.slice(2));
// Output to a pipe may still be on its way.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)));

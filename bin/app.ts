import { loadApp } from '../cli/app.ts';
import { synthesize } from '../lib/synthesize.ts';
import { MillraceError } from '../runtime/errors.ts';

try {
  const app = await loadApp();
  await synthesize(app, app.root);
} catch (error) {
  if (!(error instanceof MillraceError)) throw error;
  process.stderr.write(`error: ${error.message} [${error.code}]\n`);
  process.exitCode = 1;
}

import type { App } from '../../runtime/app.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import { ArchiveSink } from '../../runtime/archive/sink.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { systemClock } from '../system/system-clock.ts';
import { type ConsumerFunctionOptions, engineFunction } from './engine-function.ts';
import { setting } from './function-settings.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { s3Objects } from './services.ts';

/** A batch may be several megabytes, and the connection slow for a moment. */
const TIMEOUTS = requestTimeouts(15_000);

/**
 * An archive as the Lambda function that its stack deploys. All archives of an app have one entry, `lambdas/archive/index.ts`:
 * which of them a function is, its environment variables say.
 * @throws FUNCTION_MISCONFIGURED when one is missing, or names no archive of the app
 */
export function archiveFunction(app: Pick<App, 'consumers'>, options: ConsumerFunctionOptions = {}) {
  const name = setting('consumer');
  const archive = app.consumers.find((each) => each.name === name && isArchive(each));
  if (!archive) {
    throw new MillraceError(
      'FUNCTION_MISCONFIGURED',
      `The app has no archive called ${JSON.stringify(name)}, which this function's stack was deployed for. Deploy the app again.`,
      { details: { consumer: name } },
    );
  }
  const store = s3Objects({ region: setting('region'), ...TIMEOUTS }, setting('archiveBucketName'));
  return engineFunction(
    archive,
    new ArchiveSink({ store, topic: archive.topic, clock: systemClock }),
    options,
  );
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DeployedPage, PAGE_FILE, PAGE_ROLE } from '../../runtime/page.ts';
import { pageHandler } from '../lambda/page-handler.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { createPageReader } from '../postgres/page-reader.ts';
import { systemClock } from '../system/system-clock.ts';
import { setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';

/**
 * The app's page as one Lambda function behind the collector's API, for whoever API Gateway lets through. It has nobody's code but ours: its
 * queries and what browsers load stand in a file beside it, which the deployment writes. It logs in as a role that only reads.
 * @throws FUNCTION_MISCONFIGURED when a setting is missing
 */
export function pageFunction() {
  const driver = connectToRds({
    host: setting('databaseHost'),
    database: setting('databaseName'),
    user: PAGE_ROLE,
    region: setting('region'),
  });
  const page: DeployedPage = JSON.parse(readFileSync(join(setting('codeFolder'), PAGE_FILE), 'utf8'));
  return pageHandler({
    page,
    read: createPageReader(driver, page),
    clock: systemClock,
    logger: new PowertoolsLogger('page'),
  });
}

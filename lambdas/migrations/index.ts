import { migrationFunction } from '../../adapters/aws/migration-function.ts';
import app from '../../millrace.config.ts';

export const handler = migrationFunction(app.consumers);

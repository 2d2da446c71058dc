import { migrationFunction } from 'millrace/lambda';
import app from '../../millrace.config.ts';

export const handler = migrationFunction(app.consumers);

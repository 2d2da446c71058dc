import { migrationFunction } from '../../adapters/aws/migration-function.ts';
import { consumers } from '../consumers.ts';

export const handler = migrationFunction(consumers);

import { migrationFunction } from 'millrace/lambda';
import { orderLines } from '../order-lines/consumer.ts';

export const handler = migrationFunction([orderLines]);

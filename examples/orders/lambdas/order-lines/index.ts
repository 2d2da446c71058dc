import { consumerFunction } from 'millrace/lambda';
import { orderLines } from './consumer.ts';

export const handler = consumerFunction(orderLines);

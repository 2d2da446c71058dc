import { consumerFunction } from 'millrace/lambda';
import { accountBalance } from './consumer.ts';

export const handler = consumerFunction(accountBalance);

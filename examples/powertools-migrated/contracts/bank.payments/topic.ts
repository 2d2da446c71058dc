import { defineTopic } from 'millrace';
import { type Payment, versions } from './schema.ts';

export const payments = defineTopic<Payment>({
  name: 'bank.payments',
  owner: 'payments',
  key: 'accountId',
  partitions: 3,
  versions,
});

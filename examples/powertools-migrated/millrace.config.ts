import { defineApp } from 'millrace';
import { payments } from './contracts/bank.payments/topic.ts';
import { accountBalance } from './lambdas/account-balance/consumer.ts';

export default defineApp({
  name: 'bank',
  contracts: [payments],
  consumers: [accountBalance],
  environments: {},
});

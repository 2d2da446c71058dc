import { defineApp } from 'millrace';
import { orders } from './contracts/shop.orders/topic.ts';
import { orderLines } from './lambdas/order-lines/consumer.ts';

export default defineApp({
  name: 'shop',
  contracts: [orders],
  consumers: [orderLines],
  environments: {
    dev: {
      network: { type: 'new' },
      brokers: { type: 'standard', instanceType: 'kafka.t3.small', storageGiB: 50 },
      monitoring: 'DEFAULT',
      polling: { mode: 'on-demand' },
      database: { minCapacity: 0, maxCapacity: 2, standbys: 0, proxy: false, backupDays: 1 },
      alarmActions: false,
      retainsData: false,
      logRetentionDays: 7,
    },
  },
});

import { defineApp } from 'millrace';

/** What the command line, the laptop and the CDK are handed: `npx millrace add` lists here what it writes. */
export default defineApp({
  name: '{{name}}',
  contracts: [],
  consumers: [],
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

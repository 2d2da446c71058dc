import { pageviews } from './contracts/news.pageviews/topic.ts';
import { demo } from './demo/index.ts';
import { collected, limits } from './lambdas/collector/collector.ts';
import { editorialAnalytics } from './lambdas/editorial-analytics/consumer.ts';
import { defineApp } from './runtime/app.ts';

/** The newsroom: this repository's own app. A project of yours has such a file, with its own contracts and consumers. */
export default defineApp({
  name: 'newsroom',
  contracts: [pageviews],
  consumers: [editorialAnalytics],
  collected,
  collectLimits: limits,
  demo,
  environments: {
    dev: {
      network: { type: 'new' },
      brokers: { type: 'standard', instanceType: 'kafka.t3.small', storageGiB: 50 },
      monitoring: 'DEFAULT',
      polling: { mode: 'on-demand' },
      database: { minCapacity: 0, maxCapacity: 2, standbys: 0, proxy: false, backupDays: 1 },
      collector: { allowedOrigins: ['http://localhost:3000'], rate: 20, burst: 20 },
      probe: true,
      alarmActions: false,
      retainsData: false,
      logRetentionDays: 7,
    },
    staging: {
      network: { type: 'new' },
      brokers: { type: 'express', instanceType: 'express.m7g.large' },
      monitoring: 'DEFAULT',
      polling: { mode: 'provisioned', minimumPollers: 1, maximumPollers: 4 },
      // Logins by IAM take memory: with half a unit, 1 GiB, little would be left.
      database: { minCapacity: 1, maxCapacity: 4, standbys: 0, proxy: true, backupDays: 7 },
      collector: { allowedOrigins: [], rate: 100, burst: 100, maxConcurrency: 20 },
      alarmActions: true,
      retainsData: false,
      logRetentionDays: 30,
    },
    prod: {
      network: { type: 'new' },
      brokers: { type: 'express', instanceType: 'express.m7g.large' },
      monitoring: 'DEFAULT',
      polling: { mode: 'provisioned', minimumPollers: 2, maximumPollers: 12 },
      database: { minCapacity: 2, maxCapacity: 32, standbys: 1, proxy: true, backupDays: 35 },
      // The pages' origins belong here, once there are any.
      collector: { allowedOrigins: [], rate: 2_000, burst: 1_000, maxConcurrency: 200 },
      alarmActions: true,
      retainsData: true,
      logRetentionDays: 365,
    },
  },
});

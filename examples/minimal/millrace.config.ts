import { defineApp } from 'millrace';
import { readings } from './contracts/greenhouse.readings/topic.ts';
import { latestReading } from './lambdas/latest-reading/consumer.ts';

export default defineApp({
  name: 'greenhouse',
  contracts: [readings],
  consumers: [latestReading],
  environments: {},
});

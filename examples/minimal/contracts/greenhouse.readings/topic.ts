import { defineTopic } from 'millrace';
import { type Reading, versions } from './schema.ts';

export const readings = defineTopic<Reading>({
  name: 'greenhouse.readings',
  owner: 'growers',
  key: 'sensorId',
  partitions: 3,
  versions,
});

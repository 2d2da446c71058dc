import type { App } from '../runtime/app.ts';
import { probeConsumer, probes } from '../runtime/probe/pipeline.ts';

/** The probe's pipeline by itself, for a laptop: each function's thread loads an app. */
export default {
  name: 'probe',
  contracts: [probes],
  consumers: [probeConsumer],
  environments: {},
} satisfies App;

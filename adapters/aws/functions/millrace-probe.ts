import { probeConsumer } from '../../../runtime/probe/pipeline.ts';
import { consumerFunction } from '../consumer-function.ts';

export const handler = consumerFunction(probeConsumer);

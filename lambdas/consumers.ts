import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { editorialAnalytics } from './editorial-analytics/consumer.ts';

/** Every consumer of this repository. What is not listed here is not deployed and does not run. */
export const consumers: readonly AnyConsumer[] = [editorialAnalytics];

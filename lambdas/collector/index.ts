import { collectorFunction } from '../../adapters/aws/collector-function.ts';
import { collected, limits } from './collector.ts';

export const handler = collectorFunction(collected, limits);

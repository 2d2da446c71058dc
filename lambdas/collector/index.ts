import { collectorFunction } from '../../adapters/aws/collector-function.ts';
import { collected } from './collector.ts';

export const handler = collectorFunction(collected);

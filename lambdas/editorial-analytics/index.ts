import { consumerFunction } from '../../adapters/aws/consumer-function.ts';
import { editorialAnalytics } from './consumer.ts';

export const handler = consumerFunction(editorialAnalytics);

import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { generationOf } from '../../runtime/replay/generation.ts';
import { PostgresSink } from '../postgres/postgres-sink.ts';
import { type ConsumerFunctionOptions, engineFunction } from './engine-function.ts';
import { generation, setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';

/**
 * A consumer as the Lambda function that its stack deploys: takes batches from its event source mapping and dead
 * letters from its redrive queue. Its settings, such as the generation that it fills, are the function's environment variables.
 * @throws FUNCTION_MISCONFIGURED when one is missing
 */
export function consumerFunction(consumer: AnyConsumer, options: ConsumerFunctionOptions = {}) {
  const driver = connectToRds({
    host: setting('databaseHost'),
    database: setting('databaseName'),
    user: setting('databaseUser'),
    region: setting('region'),
  });
  return engineFunction(generationOf(consumer, generation()), new PostgresSink(driver), options);
}

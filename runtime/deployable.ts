import type { Contract } from './contract/contract.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import { deadLetterQueueName, deployedName } from './deployment.ts';
import type { Environment } from './environment.ts';
import { MillraceError } from './errors.ts';

// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html (2026-11-24)
const MAX_FUNCTION_NAME = 64;
const MAX_QUEUE_NAME = 80;

/** What functions, queues and stacks can all be called. */
const RESOURCE_NAME = /^[a-zA-Z0-9-]+$/;

/** What an environment has under these names already. */
const TAKEN = ['cluster', 'collector', 'database', 'migrations'];

/**
 * What a laptop allows and AWS, or this environment, does not.
 * @throws CONSUMER_INVALID naming the consumer, the field, what it got and what it takes
 */
export function checkDeployable(consumer: AnyConsumer, { name: environment, polling }: Environment): void {
  const { name, giveUp, topic } = consumer;
  const check = (field: string, got: unknown, isAllowed: boolean, allowed: string) => {
    if (isAllowed) return;
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${JSON.stringify(name)}: ${field} is ${JSON.stringify(got)}; in ${environment} it takes ${allowed}.`,
      { details: { consumer: name, field, environment } },
    );
  };
  const maxLength = Math.min(
    MAX_FUNCTION_NAME - deployedName(environment, '').length,
    MAX_QUEUE_NAME - deadLetterQueueName(environment, '').length,
  );
  check(
    'name',
    name,
    RESOURCE_NAME.test(name) && name.length <= maxLength && !TAKEN.includes(name),
    `up to ${maxLength} letters, digits and "-", and is none of ${TAKEN.join(', ')}, because its function, its queues and its stack are named after it`,
  );
  check(
    'topic.framing',
    topic.framing,
    topic.framing === 'glue',
    '"glue": functions read schemas from Glue, and would dead-letter every record of another framing',
  );
  for (const field of ['afterRetries', 'afterAgeMs'] as const) {
    check(
      `giveUp.${field}`,
      giveUp[field],
      giveUp[field] === undefined || polling.mode === 'provisioned',
      'nothing, because only provisioned pollers have limits on retries and age. Leave it out, or give the environment provisioned polling in millrace.config.ts',
    );
  }
}

/** @throws CONTRACT_INVALID where the deployed collector could not publish to the topic */
export function checkCollectable({ name, framing }: Contract<never>): void {
  if (framing === 'glue') return;
  throw new MillraceError(
    'CONTRACT_INVALID',
    `Contract ${JSON.stringify(name)}: framing is ${JSON.stringify(framing)}; a topic that the deployed collector writes to takes "glue", because ` +
      'its schema ids are those of Glue. Remove it from the topics that the app collects, or change the framing.',
    { details: { topic: name, field: 'framing' } },
  );
}

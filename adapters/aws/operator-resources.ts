/** A consumer's dead letters on AWS, for a person with credentials of their own: found by the names that the stacks give. */
import { GlueClient } from '@aws-sdk/client-glue';
import { S3Client } from '@aws-sdk/client-s3';
import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueueTagsCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import {
  type DeadLetterResources,
  deadLetterResources,
  type LetterOwner,
  type ResourceParts,
} from '../../runtime/dead-letters/resources.ts';
import { BUCKET_TAG, deadLetterQueueName, redriveQueueName, registryName } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { systemClock } from '../system/system-clock.ts';
import { nobodySignedIn } from './deployment-reader.ts';
import { createGlueSchemaRegistry } from './glue-schema-registry.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { createS3Objects } from './s3-objects.ts';
import { createSqsMover, createSqsQueue } from './sqs-queue.ts';

/** More than the 20 seconds that SQS may take to look for messages. */
const TIMEOUTS = requestTimeouts(30_000);

export interface AwsResources {
  readonly resources: DeadLetterResources;
  readonly registry: SchemaRegistry;
  /** The ARN that the credentials stand for. */
  readonly who: string;
  readonly retentionMs: number | null;
}

/**
 * @param log the environment's Kafka, where it can be reached: letters may be in a topic
 * Credentials, region and endpoints are the SDK's: environment variables, profiles, AWS_ENDPOINT_URL_*.
 * @throws INPUT_INVALID where the environment has no such consumer, or nobody is signed in
 */
export async function openAwsResources(
  env: string,
  consumer: LetterOwner,
  log?: ResourceParts['log'],
): Promise<AwsResources> {
  // Custom endpoints have one host for all buckets; AWS takes both.
  const s3 = new S3Client({ ...TIMEOUTS, forcePathStyle: process.env.AWS_ENDPOINT_URL_S3 !== undefined });
  // A custom endpoint is meant, whatever host the queue calls itself.
  const sqs = new SQSClient({ ...TIMEOUTS, useQueueUrlAsEndpoint: false });
  const problem = (cause: unknown): never => {
    const { name, message } = cause as Error;
    throw new MillraceError(
      'INPUT_INVALID',
      `The dead letters of ${consumer.name} in ${env} cannot be reached: ${name}: ${message.replace(/\.?$/, '.')} Check that AWS_REGION and your ` +
        `credentials are those of ${env}, and that ${consumer.name} is deployed there.`,
      { cause, details: { env, consumer: consumer.name } },
    );
  };
  const open = async () => {
    const [deadLetters, redrive] = await Promise.all([
      findQueue(sqs, deadLetterQueueName(env, consumer.name)),
      findQueue(sqs, redriveQueueName(env, consumer.name)),
    ]);
    const { Tags } = await sqs.send(new ListQueueTagsCommand({ QueueUrl: deadLetters.url }));
    const bucket = Tags?.[BUCKET_TAG];
    if (!bucket) throw new Error(`the queue has no tag ${BUCKET_TAG}. Deploy its stack again.`);
    return { deadLetters, redrive, bucket };
  };
  const asking = new STSClient(TIMEOUTS).send(new GetCallerIdentityCommand({}));
  const { Arn: who = 'unknown' } = await asking.catch((cause: unknown) => {
    throw nobodySignedIn(cause);
  });
  const { deadLetters, redrive, bucket } = await open().catch(problem);
  return {
    who,
    retentionMs: deadLetters.retentionMs,
    registry: createGlueSchemaRegistry({ client: new GlueClient(TIMEOUTS), registryName: registryName(env) }),
    resources: deadLetterResources(consumer, {
      deadLetters: createSqsQueue({ client: sqs, queueUrl: deadLetters.url }),
      redrive: createSqsQueue({ client: sqs, queueUrl: redrive.url }),
      mover: createSqsMover({
        client: sqs,
        sourceArn: deadLetters.arn,
        destinationArn: redrive.arn,
        clock: systemClock,
      }),
      objects: createS3Objects({ client: s3, bucket }),
      ...(log && { log }),
    }),
  };
}

async function findQueue(sqs: SQSClient, name: string) {
  const { QueueUrl: url = '' } = await sqs.send(new GetQueueUrlCommand({ QueueName: name }));
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn', 'MessageRetentionPeriod'] }),
  );
  const retentionS = Attributes.MessageRetentionPeriod;
  return {
    url,
    arn: Attributes.QueueArn ?? '',
    retentionMs: retentionS === undefined ? null : Number(retentionS) * 1_000,
  };
}

/** What audits, searches and replays of a deployed environment look at, with a person's own credentials. */
import { GlueClient } from '@aws-sdk/client-glue';
import { S3Client } from '@aws-sdk/client-s3';
import { isArchive } from '../../runtime/archive/archive.ts';
import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { deployedName, registryName } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { EvidenceSources } from '../../runtime/replay/evidence.ts';
import { createArchiveLedgers } from '../../runtime/replay/ledgers.ts';
import { systemClock } from '../system/system-clock.ts';
import type { AwsCalls } from './aws-calls.ts';
import { createDeploymentReader } from './deployment-reader.ts';
import { createGlueSchemaRegistry } from './glue-schema-registry.ts';
import { type Operator, openOperator } from './operator-client.ts';
import { openAwsResources } from './operator-resources.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { createS3Objects } from './s3-objects.ts';
import { once } from './services.ts';

export interface EnvironmentEvidence extends Operator {
  /** The environment's own. */
  readonly registry: SchemaRegistry;
  /** @throws INPUT_INVALID where the environment has no such consumer, or nobody is signed in */
  of(consumer: AnyConsumer): Promise<{
    readonly sources: EvidenceSources;
    /** The ARN that the credentials stand for. */
    readonly who: string;
  }>;
  /** The objects of the environment's archives. */
  archive(): Promise<ObjectStore>;
}

export function openEnvironmentEvidence(env: string, calls: AwsCalls): EnvironmentEvidence {
  const operator = openOperator(env, calls);
  const archive = once(() => openArchive(env, calls));
  return {
    ...operator,
    registry: createGlueSchemaRegistry({
      client: new GlueClient(requestTimeouts(30_000)),
      registryName: registryName(env),
    }),
    archive,
    async of(consumer) {
      const { resources, who } = await openAwsResources(env, consumer);
      const ledgers = isArchive(consumer)
        ? createArchiveLedgers(await archive(), operator.log)
        : operator.ledgers;
      const sources = { consumer, group: consumer.name, log: operator.log, ledgers, letters: resources };
      return { sources, who };
    },
  };
}

async function openArchive(env: string, calls: AwsCalls): Promise<ObjectStore> {
  const name = deployedName(env, 'archive');
  const stack = await createDeploymentReader(calls, systemClock).stack(name);
  const bucket = stack?.outputs.BucketName;
  if (bucket === undefined) {
    throw new MillraceError(
      'INPUT_INVALID',
      `The stack ${name} has no output BucketName, so nobody knows where the archives are. Deploy it: npx cdk deploy -c env=${env} ${name}`,
      { details: { env } },
    );
  }
  // Custom endpoints have one host for all buckets; AWS takes both.
  const client = new S3Client({
    ...requestTimeouts(30_000),
    forcePathStyle: process.env.AWS_ENDPOINT_URL_S3 !== undefined,
  });
  return createS3Objects({ client, bucket });
}

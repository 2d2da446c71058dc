import { Duration, Tags, Validations } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { BlockPublicAccess, Bucket, BucketEncryption, type BucketPolicy } from 'aws-cdk-lib/aws-s3';
import {
  type CfnQueue,
  Queue,
  QueueEncryption,
  type QueuePolicy,
  RedrivePermission,
} from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { GIVEN_UP_PREFIX } from '../../runtime/dead-letters/given-up-letters.ts';
import { PAYLOAD_PREFIX } from '../../runtime/dead-letters/queue-letters.ts';
import { RESULTS_PREFIX } from '../../runtime/dead-letters/redrive/results.ts';
import { MAX_REDELIVERIES, VISIBILITY_TIMEOUTS } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { BUCKET_TAG, deadLetterQueueName, redriveQueueName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { type DeadLetterResources, LETTER_RETENTION, type QueueNames } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';

/** Kept longer than the letters: to redrive a whole batch takes somebody who reads the alarm's runbook. */
const GIVEN_UP_RETENTION = Duration.days(30);

/** A letter that is moved begins its fortnight anew, and its bytes have to be there all the while. */
const PAYLOAD_RETENTION = Duration.days(90);

/** Versioning is for the audit log; records are deleted when their time is up. The least that S3 takes. */
const NONCURRENT_RETENTION = Duration.days(1);

/** Dead letters of every consumer, encrypted under one key, each consumer with queues and a bucket of its own. */
export class DeadLettersStack extends EnvironmentStack {
  readonly #key: Key;

  constructor(scope: Construct, environment: Environment, part = 'dead-letters') {
    super(scope, part, environment, {
      description: 'Millrace: dead letters, and batches that Lambda gave up on',
      holdsData: true,
    });
    this.#key = new Key(this, 'Key', {
      alias: this.nameOf(part),
      description: 'Encrypts dead letters of Millrace',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
  }

  addConsumer({ name, timeoutMs }: AnyConsumer): DeadLetterResources {
    const keeps = this.target.retainsData;
    const common = {
      encryption: QueueEncryption.KMS,
      encryptionMasterKey: this.#key,
      enforceSSL: true,
      retentionPeriod: LETTER_RETENTION,
      removalPolicy: this.dataRemoval,
    };
    const redriveName = redriveQueueName(this.target.name, name);
    const redriveArn = this.formatArn({ service: 'sqs', resource: redriveName });
    const deadLetters = new Queue(this, `DeadLetters-${name}`, {
      ...common,
      queueName: deadLetterQueueName(this.target.name, name),
      redriveAllowPolicy: {
        redrivePermission: RedrivePermission.BY_QUEUE,
        // By its name: each of the two queues names the other, and CloudFormation makes one first.
        sourceQueues: [Queue.fromQueueArn(this, `RedriveOf-${name}`, redriveArn)],
      },
    });
    const redrive = new Queue(this, `Redrive-${name}`, {
      ...common,
      queueName: redriveName,
      visibilityTimeout: Duration.millis(timeoutMs * VISIBILITY_TIMEOUTS),
      deadLetterQueue: { queue: deadLetters, maxReceiveCount: MAX_REDELIVERIES },
    });
    const bucket = new Bucket(this, `Kept-${name}`, {
      encryption: BucketEncryption.KMS,
      encryptionKey: this.#key,
      bucketKeyEnabled: true,
      enforceSSL: true,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      // The audit log stays.
      lifecycleRules: [
        { prefix: GIVEN_UP_PREFIX, expiration: GIVEN_UP_RETENTION },
        { prefix: PAYLOAD_PREFIX, expiration: PAYLOAD_RETENTION },
        { prefix: RESULTS_PREFIX, expiration: PAYLOAD_RETENTION },
      ].map((rule) => (keeps ? { ...rule, noncurrentVersionExpiration: NONCURRENT_RETENTION } : rule)),
      // Nobody overwrites or deletes the audit log for good. A bucket that goes with its stack is emptied by hand, and stays
      // easy to empty.
      versioned: keeps,
      removalPolicy: this.dataRemoval,
    });
    // What stays when the stack goes stays closed to everything but TLS.
    for (const { node } of [deadLetters, redrive, bucket])
      (node.findChild('Policy') as QueuePolicy | BucketPolicy).applyRemovalPolicy(this.dataRemoval);
    // The bucket's name is made up by CloudFormation; whoever redrives finds it here.
    Tags.of(deadLetters).add(BUCKET_TAG, bucket.bucketName);
    Validations.of(bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason:
        "Only Lambda's pollers and the consumer write to it, and rarely. CloudTrail's data events show who reads it.",
    });
    return { deadLetters: this.byName(deadLetters), redrive: this.byName(redrive), bucket };
  }

  grantPut(grantee: IGrantable, { deadLetters }: DeadLetterResources): void {
    this.grant(grantee, ['sqs:SendMessage'], [deadLetters.queueArn]);
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html (2026-11-24)
    this.grant(grantee, ['kms:GenerateDataKey', 'kms:Decrypt'], [this.#key.keyArn]);
  }

  grantRedrive(grantee: IGrantable, { redrive, bucket }: DeadLetterResources): void {
    const actions = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];
    this.grant(grantee, actions, [redrive.queueArn]);
    // Bytes of large letters are put and fetched, results of redrives put.
    this.grant(grantee, ['s3:GetObject', 's3:PutObject'], [bucket.arnForObjects(`${PAYLOAD_PREFIX}*`)]);
    this.grant(grantee, ['s3:PutObject'], [bucket.arnForObjects(`${RESULTS_PREFIX}*`)]);
    this.grant(grantee, ['kms:Decrypt', 'kms:GenerateDataKey'], [this.#key.keyArn]);
  }

  /** https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-24) */
  grantGiveUp(grantee: IGrantable, { bucket }: DeadLetterResources): void {
    this.grant(grantee, ['s3:ListBucket'], [bucket.bucketArn]);
    // Where Lambda puts them; the next part of the path is the id of a mapping that has yet to be made.
    this.grant(grantee, ['s3:PutObject'], [bucket.arnForObjects(`${GIVEN_UP_PREFIX}*`)]);
    this.grant(grantee, ['kms:GenerateDataKey'], [this.#key.keyArn]);
  }

  /**
   * A queue as its consumer's stack needs it, from its fixed name alone: each attribute would be an export, and a stack has
   * room for two hundred.
   */
  private byName(queue: Queue): QueueNames {
    const { queueName } = queue.node.defaultChild as CfnQueue;
    return {
      queueName: queueName!,
      queueArn: this.formatArn({ service: 'sqs', resource: queueName! }),
      queueUrl: `https://sqs.${this.region}.${this.urlSuffix}/${this.account}/${queueName}`,
    };
  }

  private grant(grantee: IGrantable, actions: string[], resources: string[]): void {
    grantee.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions, resources }));
  }
}

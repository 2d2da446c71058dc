import { CfnOutput, Duration, Validations } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { BlockPublicAccess, Bucket, BucketEncryption } from 'aws-cdk-lib/aws-s3';
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { AnyConsumer } from '../../runtime/consumer.ts';
import type { Environment } from '../config/environment.ts';
import { EnvironmentStack } from './environment-stack.ts';

/** SQS's longest: a fortnight to look at what failed. */
export const LETTER_RETENTION = Duration.days(14);

/** Kept longer than the letters: to redrive a whole batch takes somebody who reads the alarm's runbook. */
const GIVEN_UP_RETENTION = Duration.days(30);

/** Deliveries of a redriven letter whose consumer does not settle it, before it is a dead letter again. */
const MAX_REDELIVERIES = 10;

/** A message must stay hidden for as long as Lambda can need: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (2026-11-24) */
const VISIBILITY_TIMEOUTS = 6;

/** Where one consumer's failures stay until somebody has dealt with them. */
export interface DeadLetterPlaces {
  /** Records that the consumer gave up on. */
  readonly deadLetters: Queue;
  /** Records on their way back to it. The dead-letter queue is this one's, so that the SQS console moves them here. */
  readonly redrive: Queue;
  /** Batches that Lambda gave up on, with their records. */
  readonly givenUp: Bucket;
}

/** Dead letters of every consumer, encrypted under one key, each consumer with queues and a bucket of its own. */
export class DeadLettersStack extends EnvironmentStack {
  readonly #key: Key;

  constructor(scope: Construct, environment: Environment) {
    super(scope, 'dead-letters', environment, {
      description: 'Millrace: what consumers and event sources gave up on',
      holdsData: true,
    });
    this.#key = new Key(this, 'Key', {
      alias: this.nameOf('dead-letters'),
      description: 'Dead letters of Millrace',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
  }

  addConsumer({ name, timeoutMs }: AnyConsumer): DeadLetterPlaces {
    const common = {
      encryption: QueueEncryption.KMS,
      encryptionMasterKey: this.#key,
      enforceSSL: true,
      retentionPeriod: LETTER_RETENTION,
      removalPolicy: this.dataRemoval,
    };
    const redriveName = this.nameOf(`${name}-redrive`);
    const redriveArn = this.formatArn({ service: 'sqs', resource: redriveName });
    const deadLetters = new Queue(this, `DeadLetters-${name}`, {
      ...common,
      queueName: this.nameOf(`${name}-dead-letters`),
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
    const givenUp = new Bucket(this, `GivenUp-${name}`, {
      encryption: BucketEncryption.KMS,
      encryptionKey: this.#key,
      bucketKeyEnabled: true,
      enforceSSL: true,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      lifecycleRules: [{ expiration: GIVEN_UP_RETENTION }],
      removalPolicy: this.dataRemoval,
    });
    Validations.of(givenUp).acknowledge({
      id: 'AwsSolutions-S1',
      reason: "Only Lambda's pollers write to it, on rare days; who reads it, CloudTrail's data events tell.",
    });
    this.addOutput(name, 'DeadLetterQueueArn', deadLetters.queueArn, 'Start DLQ redrive from this queue');
    this.addOutput(name, 'RedriveQueueArn', redrive.queueArn, 'its custom destination');
    this.addOutput(name, 'GivenUpBucket', givenUp.bucketName, 'batches that Lambda gave up on');
    return { deadLetters, redrive, givenUp };
  }

  grantPut(grantee: IGrantable, { deadLetters }: DeadLetterPlaces): void {
    this.grant(grantee, ['sqs:SendMessage'], [deadLetters.queueArn]);
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html (2026-11-24)
    this.grant(grantee, ['kms:GenerateDataKey', 'kms:Decrypt'], [this.#key.keyArn]);
  }

  grantRedrive(grantee: IGrantable, { redrive }: DeadLetterPlaces): void {
    const actions = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];
    this.grant(grantee, actions, [redrive.queueArn]);
    this.grant(grantee, ['kms:Decrypt'], [this.#key.keyArn]);
  }

  /** https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-24) */
  grantGiveUp(grantee: IGrantable, { givenUp }: DeadLetterPlaces): void {
    this.grant(grantee, ['s3:ListBucket'], [givenUp.bucketArn]);
    // Where Lambda puts them; the next part of the path is the id of a mapping that has yet to be made.
    this.grant(grantee, ['s3:PutObject'], [givenUp.arnForObjects('aws/lambda/*')]);
    this.grant(grantee, ['kms:GenerateDataKey'], [this.#key.keyArn]);
  }

  private grant(grantee: IGrantable, actions: string[], resources: string[]): void {
    grantee.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions, resources }));
  }

  private addOutput(consumer: string, what: string, value: string, description: string): void {
    new CfnOutput(this, `${what}-${consumer}`, { value, description: `${consumer}: ${description}` });
  }
}

import { CfnOutput, Duration, Validations } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement, type PolicyStatementProps } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type BucketPolicy,
  type CfnBucket,
  type LifecycleRule,
  StorageClass,
} from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { archivePrefixes, ROWS_PREFIX } from '../../runtime/archive/names.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { Archive } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';

/** Who deletes an object by mistake, or a person's data on purpose, has so long until it is gone for good. */
const NONCURRENT_RETENTION = Duration.days(30);

/**
 * The archive: one bucket for every topic and table. Each object begins where the one before it ends, so no rule of this
 * bucket ever deletes a current version: the last object of a partition is where its writer goes on.
 */
export class ArchiveStack extends EnvironmentStack implements Archive {
  readonly bucketName: string;
  readonly #bucket: Bucket;
  readonly #key: Key;

  constructor(scope: Construct, environment: Environment) {
    super(scope, 'archive', environment, {
      description: 'Millrace: the archive of topics and tables',
      holdsData: true,
    });
    this.#key = new Key(this, 'Key', {
      alias: this.nameOf('archive'),
      description: 'Encrypts the archive of Millrace',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
    const keeps = environment.retainsData;
    this.#bucket = new Bucket(this, 'Bucket', {
      encryption: BucketEncryption.KMS,
      encryptionKey: this.#key,
      bucketKeyEnabled: true,
      enforceSSL: true,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      // A bucket that goes with its stack is emptied by hand, and stays easy to empty.
      versioned: keeps,
      lifecycleRules: this.lifecycle(),
      removalPolicy: this.dataRemoval,
    });
    (this.#bucket.node.findChild('Policy') as BucketPolicy).applyRemovalPolicy(this.dataRemoval);
    Validations.of(this.#bucket).acknowledge({
      id: 'AwsSolutions-S1',
      reason: "Only the archives' functions write to it. CloudTrail's data events show who reads it.",
    });
    this.bucketName = this.#bucket.bucketName;
    new CfnOutput(this, 'BucketName', {
      value: this.bucketName,
      description: 'What warehouses load from, under topics/',
    });
  }

  /**
   * Lets an archive write its own topic's objects and find where they end, and nobody else's. Without `s3:DeleteObject`:
   * nothing in an archive is ever replaced.
   */
  grantWrite(grantee: IGrantable, { topic, epoch }: AnyConsumer): readonly string[] {
    const objects = archivePrefixes(topic.name, epoch).map((prefix) => `${prefix}*`);
    const allow = (actions: string[], resources: string[], conditions?: Record<string, unknown>) =>
      grantee.grantPrincipal.addToPrincipalPolicy(
        new PolicyStatement({ actions, resources, ...(conditions && { conditions }) }),
      );
    allow(
      ['s3:GetObject', 's3:PutObject'],
      objects.map((each) => this.#bucket.arnForObjects(each)),
    );
    allow(['s3:ListBucket'], [this.#bucket.bucketArn], { StringLike: { 's3:prefix': objects } });
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html (2026-11-27)
    allow(['kms:GenerateDataKey', 'kms:Decrypt'], [this.#key.keyArn]);
    return objects.map((each) => this.named(each));
  }

  /**
   * Lets a warehouse read every row, and nothing that is no row.
   * https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration (2026-11-27)
   * @returns the wildcards in its rights
   */
  grantRead(grantee: IGrantable): readonly string[] {
    const objects = [`${ROWS_PREFIX}*`];
    const allow = (statement: PolicyStatementProps) =>
      grantee.grantPrincipal.addToPrincipalPolicy(new PolicyStatement(statement));
    const { bucketArn } = this.#bucket;
    allow({
      actions: ['s3:GetObject', 's3:GetObjectVersion'],
      resources: objects.map((each) => this.#bucket.arnForObjects(each)),
    });
    allow({
      actions: ['s3:ListBucket'],
      resources: [bucketArn],
      conditions: { StringLike: { 's3:prefix': objects } },
    });
    allow({ actions: ['s3:GetBucketLocation'], resources: [bucketArn] });
    allow({ actions: ['kms:Decrypt'], resources: [this.#key.keyArn] });
    return objects.map((each) => this.named(each));
  }

  /** As cdk-nag calls objects. */
  private named(objects: string): string {
    const bucket = this.getLogicalId(this.#bucket.node.defaultChild as CfnBucket);
    return `<${bucket}.Arn>/${objects}`;
  }

  private lifecycle(): LifecycleRule[] {
    const { archive: { infrequentAccessAfterDays: days } = {}, retainsData } = this.target;
    return [
      { abortIncompleteMultipartUploadAfter: Duration.days(7) },
      ...(retainsData ? [{ noncurrentVersionExpiration: NONCURRENT_RETENTION }] : []),
      ...(days === undefined
        ? []
        : [
            {
              transitions: [
                { storageClass: StorageClass.INFREQUENT_ACCESS, transitionAfter: Duration.days(days) },
              ],
            },
          ]),
    ];
  }
}

import { CfnOutput } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { CfnParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { pausedParameterName } from '../../runtime/deployment.ts';
import { type Environment, isTopicArn } from '../../runtime/environment.ts';
import type { Severity } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';

/** What the people on call need before anything runs: a topic a severity, and the key of topics and logs. */
export class OperationsStack extends EnvironmentStack {
  readonly topics: Readonly<Record<Severity, readonly ITopic[]>>;
  readonly #key: Key;

  constructor(scope: Construct, environment: Environment) {
    super(scope, 'operations', environment, {
      description: 'Millrace: the topics that alarms notify, and the key of logs and notifications',
      holdsData: true,
    });
    this.#key = new Key(this, 'Key', {
      alias: this.nameOf('operations'),
      description: 'Encrypts logs and notifications of Millrace',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
    this.#key.addToResourcePolicy(
      // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html (2026-11-24)
      new PolicyStatement({
        sid: 'LogGroupsOfThisAccount',
        principals: [new ServicePrincipal(`logs.${this.region}.amazonaws.com`)],
        actions: [
          'kms:Encrypt',
          'kms:Decrypt',
          'kms:ReEncryptFrom',
          'kms:ReEncryptTo',
          'kms:GenerateDataKey',
          'kms:GenerateDataKeyWithoutPlaintext',
          'kms:DescribeKey',
        ],
        resources: ['*'],
        conditions: {
          ArnLike: {
            'kms:EncryptionContext:aws:logs:arn': this.formatArn({
              service: 'logs',
              resource: 'log-group:*',
            }),
          },
        },
      }),
    );
    this.#key.addToResourcePolicy(
      // https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html (2026-11-24)
      new PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': this.account } },
      }),
    );
    this.topics = { warning: this.topicsOf('warning'), incident: this.topicsOf('incident') };
  }

  /** A log group in the scope's stack: encrypted, and kept as long as the environment keeps logs. */
  addLogGroup(scope: Construct, id: string, logGroupName?: string): LogGroup {
    return new LogGroup(scope, id, {
      ...(logGroupName && { logGroupName }),
      encryptionKey: this.#key,
      retention: this.logRetention,
      removalPolicy: this.dataRemoval,
    });
  }

  /**
   * CloudFormation writes it when it makes it, and again only where the template's own words for it change: then it would
   * resume what is paused, so these stay as they are.
   */
  pauseOf(consumer: string): string {
    const name = pausedParameterName(this.target.name, consumer);
    const id = `Paused-${consumer}`;
    if (!this.node.tryFindChild(id)) {
      new CfnParameter(this, id, { name, type: 'String', value: 'false' });
    }
    return name;
  }

  /** Our own, to which e-mail addresses are subscribed, and those that the settings name. */
  private topicsOf(severity: Severity): readonly ITopic[] {
    const targets = this.target.notifications?.[severity] ?? [];
    const own = this.addTopic(severity === 'warning' ? 'Warning' : 'Incident');
    for (const address of targets.filter((target) => !isTopicArn(target))) {
      own.addSubscription(new EmailSubscription(address));
    }
    const others = targets.filter(isTopicArn);
    return [own, ...others.map((arn) => Topic.fromTopicArn(this, `${severity}-${arn}`, arn))];
  }

  private addTopic(severity: string): Topic {
    const topic = new Topic(this, `${severity}s`, {
      topicName: this.nameOf(severity.toLowerCase()),
      displayName: `Millrace ${this.target.name} ${severity.toLowerCase()}`,
      masterKey: this.#key,
      enforceSSL: true,
    });
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': this.account } },
      }),
    );
    new CfnOutput(this, `${severity}TopicArn`, {
      value: topic.topicArn,
      description: `Subscribe everyone who should hear of every ${severity.toLowerCase()}`,
    });
    return topic;
  }
}

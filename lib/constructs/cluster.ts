import { type CfnResource, Duration, Fn, Stack } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { AwsCustomResource, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import type { Construct } from 'constructs';

/** A broker in each zone. */
export const BROKERS = 3;

/** A cluster as its users need it, whoever runs it. */
export interface Cluster {
  readonly arn: string;
  readonly name: string;
}

/** @param clusterArn arn:aws:kafka:region:account:cluster/name/uuid */
export function existingCluster(clusterArn: string): Cluster {
  return { arn: clusterArn, name: clusterArn.split('/')[1]! };
}

/** The ARN of a topic or a consumer group, which MSK derives from its cluster's. */
export function kafkaArn({ arn }: Cluster, kind: 'topic' | 'group', name: string): string {
  const [before, after] = [0, 1].map((part) => Fn.select(part, Fn.split(':cluster/', arn)));
  return `${before}:${kind}/${after}/${name}`;
}

const RESULT = 'BootstrapBrokerStringSaslIam';

/** What the CDK calls its function that asks. */
const PROVIDER = `AWS${AwsCustomResource.PROVIDER_FUNCTION_UUID.replaceAll('-', '')}`;

/**
 * Where a cluster's brokers take logins by IAM: each `host:port`, with a comma between two. CloudFormation does not know,
 * so MSK is asked in the course of a deployment, and again when the cluster is another one; the names stay as long as it does:
 * https://docs.aws.amazon.com/msk/latest/developerguide/msk-get-bootstrap-brokers.html (2026-11-25)
 */
export function bootstrapBrokers(
  scope: Construct,
  id: string,
  cluster: Cluster,
  operations: { addLogGroup(scope: Construct, id: string): LogGroup },
): string {
  const logGroup = operations.addLogGroup(scope, `${id}Logs`);
  const role = new Role(scope, `${id}Role`, {
    assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    description: 'Gets the addresses of the brokers from MSK',
  });
  logGroup.grantWrite(role);
  role.addToPolicy(new PolicyStatement({ actions: ['kafka:GetBootstrapBrokers'], resources: [cluster.arn] }));
  const ask = {
    service: '@aws-sdk/client-kafka',
    action: 'GetBootstrapBrokers',
    parameters: { ClusterArn: cluster.arn },
    physicalResourceId: PhysicalResourceId.of(cluster.arn),
    outputPaths: [RESULT],
  };
  const asking = new AwsCustomResource(scope, id, {
    resourceType: 'Custom::BootstrapBrokers',
    onCreate: ask,
    onUpdate: ask,
    role,
    logGroup,
    timeout: Duration.minutes(2),
    installLatestAwsSdk: false,
  });
  // Its rights are a resource of their own. That its function waits for the role too, the role's property says already, and
  // cfn-lint calls saying it twice a mistake.
  asking.node.addDependency(role.node.findChild('DefaultPolicy'));
  const provider = Stack.of(scope).node.findChild(PROVIDER).node.defaultChild as CfnResource;
  provider.addDeletionOverride('DependsOn');
  return asking.getResponseField(RESULT);
}

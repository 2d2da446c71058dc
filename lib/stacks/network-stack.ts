import {
  FlowLogDestination,
  GatewayVpcEndpointAwsService,
  type InterfaceVpcEndpointAwsService,
  type IVpc,
  Port,
  SecurityGroup,
  InterfaceVpcEndpointAwsService as Service,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Environment } from '../config/environment.ts';
import { EnvironmentStack } from './environment-stack.ts';

export const BROKER_IAM_PORT = 9098;

/** Every service that is called from inside the network, and by whom. There is no NAT: what is not here is not reached. */
const ENDPOINTS: Readonly<
  Record<string, { service: InterfaceVpcEndpointAwsService; caller: 'brokers' | 'functions' }>
> = {
  // https://docs.aws.amazon.com/lambda/latest/dg/with-msk-cluster-network.html (2026-11-24): the event source's pollers
  // live in the cluster's subnets and security groups; they assume the function's role, then invoke the function.
  Lambda: { service: Service.LAMBDA, caller: 'brokers' },
  Sts: { service: Service.STS, caller: 'brokers' },
  // Consumers read schemas and store dead letters.
  Glue: { service: Service.GLUE, caller: 'functions' },
  Sqs: { service: Service.SQS, caller: 'functions' },
};

/** Three zones without a way out: brokers, functions and databases in subnets of their own, services by endpoint. */
export class NetworkStack extends EnvironmentStack {
  readonly vpc: IVpc;
  /** Of the brokers, and so of the event source mappings' pollers, which take over the cluster's. */
  readonly brokers: SecurityGroup;
  readonly functions: SecurityGroup;

  constructor(scope: Construct, environment: Environment) {
    super(scope, 'network', environment, 'Millrace: the private network of one environment');
    // Its own type has a property that IVpc does not allow to be undefined.
    this.vpc = new Vpc(this, 'Vpc', {
      natGateways: 0,
      // Closing the default group takes a function with rights over every group; here nothing is ever in it.
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: 'brokers', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
        { name: 'functions', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 22 },
        { name: 'databases', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
      ],
      gatewayEndpoints: { S3: { service: GatewayVpcEndpointAwsService.S3 } },
    }) as IVpc;
    this.vpc.addFlowLog('Rejected', {
      destination: FlowLogDestination.toCloudWatchLogs(
        new LogGroup(this, 'FlowLogs', { retention: this.logRetention, removalPolicy: this.dataRemoval }),
      ),
    });
    this.brokers = this.securityGroup(
      'Brokers',
      'Kafka brokers, and the pollers that Lambda places beside them',
    );
    this.functions = this.securityGroup('Functions', 'Consumer functions');
    const endpoints = this.securityGroup('Endpoints', 'Interface endpoints of AWS services');

    this.brokers.connections.allowInternally(Port.tcp(BROKER_IAM_PORT), 'pollers to brokers, IAM over TLS');
    this.functions.connections.allowTo(
      this.brokers,
      Port.tcp(BROKER_IAM_PORT),
      'consumers write dead letters to Kafka, IAM over TLS',
    );
    this.brokers.connections.allowTo(endpoints, Port.HTTPS, 'pollers to Lambda and STS');
    this.functions.connections.allowTo(endpoints, Port.HTTPS, 'consumers to Glue and SQS');
    for (const [name, { service, caller }] of Object.entries(ENDPOINTS)) {
      this.vpc.addInterfaceEndpoint(name, {
        service,
        open: false,
        securityGroups: [endpoints],
        subnets: { subnetGroupName: caller },
      });
    }
  }

  private securityGroup(id: string, description: string): SecurityGroup {
    return new SecurityGroup(this, id, { vpc: this.vpc, description, allowAllOutbound: false });
  }
}

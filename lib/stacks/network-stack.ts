import { CfnOutput, Validations } from 'aws-cdk-lib';
import {
  CfnSecurityGroup,
  CfnSubnet,
  CfnVPC,
  FlowLogDestination,
  FlowLogTrafficType,
  GatewayVpcEndpointAwsService,
  type InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISecurityGroup,
  type ISubnet,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  InterfaceVpcEndpointAwsService as Service,
  Subnet,
  type SubnetSelection,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { defaultCidr } from '../../runtime/cidr.ts';
import { PORTS } from '../../runtime/deployment.ts';
import type { Environment, ExistingNetwork, NewNetwork, SubnetGroup } from '../../runtime/environment.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

/** A service that is called from inside the network. There is no NAT: what has no endpoint is not reached. */
interface Endpoint {
  readonly service: InterfaceVpcEndpointAwsService;
  readonly caller: 'brokers' | 'functions';
  /** What pollers do there, as Lambda itself. Functions call as roles of this account, whose policies say what they may do. */
  readonly pollersMay?: string;
}

/** Consumers read schemas and store dead letters. */
const OF_FUNCTIONS: Readonly<Record<string, Endpoint>> = {
  Glue: { service: Service.GLUE, caller: 'functions' },
  Sqs: { service: Service.SQS, caller: 'functions' },
};

/**
 * On-demand pollers live in the cluster's subnets and security groups; they assume the function's role, then invoke the
 * function. Provisioned ones call neither service from there.
 * https://docs.aws.amazon.com/lambda/latest/dg/with-msk-cluster-network.html,
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html (2026-11-26)
 */
const OF_ON_DEMAND_POLLERS: Readonly<Record<string, Endpoint>> = {
  Lambda: { service: Service.LAMBDA, caller: 'brokers', pollersMay: 'lambda:InvokeFunction' },
  Sts: { service: Service.STS, caller: 'brokers', pollersMay: 'sts:AssumeRole' },
};
// No others: Lambda writes a function's logs from outside the network; passwords are tokens that the function signs
// itself, so neither Secrets Manager nor RDS's API is called; batches given up go to S3 through its gateway.

/** Who may talk to whom: one security group a part, one rule a flow. Brokers, functions and databases in subnets of their own. */
export class NetworkStack extends EnvironmentStack {
  readonly vpc: IVpc;
  /** Of the brokers, and so of the event source mappings' pollers, which take over the cluster's: ours, or an existing cluster's. */
  readonly brokers: ISecurityGroup;
  readonly functions: SecurityGroup;
  readonly migrations: SecurityGroup;
  /** Where the environment has a collector. */
  readonly collector: SecurityGroup | undefined;
  /** Where the environment has a page behind the collector's API. */
  readonly page: SecurityGroup | undefined;
  readonly proxy: SecurityGroup;
  readonly database: SecurityGroup;
  /** Of the connector of each database that the environment captures, by the database's name. */
  readonly connectors: ReadonlyMap<string, SecurityGroup>;

  constructor(scope: Construct, environment: Environment, operations: OperationsStack) {
    super(scope, 'network', environment, {
      description: 'Millrace: the private network of one environment',
      holdsData: false,
    });
    const { network } = environment;
    this.vpc = network.type === 'new' ? this.addVpc(network, operations) : this.importVpc(network);
    this.brokers = this.groupOfBrokers();
    this.functions = this.addGroup('Functions', 'Consumer functions');
    this.collector =
      environment.collector &&
      this.addGroup('Collector', 'The function that takes events by HTTP, from outside of this network');
    this.page =
      environment.collector?.page && this.addGroup('Page', 'The function that reads tables for the page');
    this.migrations = this.addGroup('Migrations', 'The function that migrates the database');
    this.proxy = this.addGroup('Proxy', 'RDS Proxy');
    this.database = this.addGroup('Database', 'Aurora PostgreSQL');
    this.connectors = this.groupsOfConnectors();
    this.addFlows();
    this.addCapture();
    this.addProducers();
    if (network.type === 'new') this.addEndpoints();
    if (environment.retainsData) this.keepWhatDataStandsIn();
    new CfnOutput(this, 'VpcId', { value: this.vpc.vpcId, description: 'Where producers reach the brokers' });
    new CfnOutput(this, 'BrokersGroupId', {
      value: this.brokers.securityGroupId,
      description: `Producers need a way out to this security group, port ${PORTS.brokers}`,
    });
  }

  /** The private subnets of brokers, functions or databases, in every zone. */
  subnets(group: SubnetGroup): SubnetSelection {
    const { network } = this.target;
    if (network.type === 'new') return { subnetGroupName: group };
    return { subnets: network.subnetIds[group].map((id) => this.importSubnet(id)) };
  }

  subnetIds(group: SubnetGroup): string[] {
    return this.vpc.selectSubnets(this.subnets(group)).subnetIds;
  }

  private addVpc({ cidr }: NewNetwork, operations: OperationsStack): IVpc {
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr(cidr ?? defaultCidr(this.target.name)),
      natGateways: 0,
      // Closing the default group takes a function with rights over every group; here nothing is ever in it.
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: 'brokers', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
        { name: 'functions', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 22 },
        { name: 'databases', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
      ],
    });
    // Whoever writes, only into a bucket of this account.
    vpc
      .addGatewayEndpoint('S3', { service: GatewayVpcEndpointAwsService.S3 })
      .addToPolicy(this.perimeter('s3', 'aws:ResourceAccount'));
    vpc.addFlowLog('Rejected', {
      destination: FlowLogDestination.toCloudWatchLogs(operations.addLogGroup(this, 'FlowLogs')),
      trafficType: FlowLogTrafficType.REJECT,
    });
    // Its own type has a property that IVpc does not allow to be undefined.
    return vpc as IVpc;
  }

  /** A cluster and a database that outlive their stacks are still in these, and AWS deletes none of them meanwhile. */
  private keepWhatDataStandsIn(): void {
    for (const part of [this.vpc, this.brokers, this.database].flatMap(({ node }) => node.findAll())) {
      if (part instanceof CfnVPC || part instanceof CfnSubnet || part instanceof CfnSecurityGroup)
        part.applyRemovalPolicy(this.dataRemoval);
    }
  }

  private importVpc({ vpcId }: ExistingNetwork): IVpc {
    // The CDK wants a zone to spread subnets over; here they are given by their ids.
    return Vpc.fromVpcAttributes(this, 'Vpc', { vpcId, availabilityZones: ['unused'] });
  }

  private importSubnet(id: string): ISubnet {
    const known = this.node.tryFindChild(id) as ISubnet | undefined;
    if (known) return known;
    const subnet = Subnet.fromSubnetId(this, id, id);
    Validations.of(subnet).acknowledge({
      id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
      reason: 'Nothing here depends on its route table.',
    });
    return subnet;
  }

  private addFlows(): void {
    const { brokers, functions, migrations, page, proxy, database } = this;
    const kafka = Port.tcp(PORTS.brokers);
    const postgres = Port.tcp(PORTS.database);
    functions.connections.allowTo(brokers, kafka, 'consumers write dead letters to Kafka, IAM over TLS');
    // Of an existing cluster's own group both are its owner's: a rule that is there already cannot be made again.
    if (this.target.brokers.type !== 'existing') {
      brokers.connections.allowInternally(kafka, 'pollers to brokers, IAM over TLS');
      // The subnets lead nowhere but to the endpoints; S3's gateway has no security group that a rule could name.
      brokers.addEgressRule(Peer.anyIpv4(), Port.HTTPS, 'pollers to S3, with batches they gave up');
    }
    const isOwn = this.target.network.type === 'new';
    functions.addEgressRule(
      Peer.anyIpv4(),
      Port.HTTPS,
      isOwn ? 'consumers to S3, with large dead letters' : 'consumers to S3, Glue and SQS',
    );
    this.collector?.connections.allowTo(brokers, kafka, 'the collector publishes events, IAM over TLS');
    if (!isOwn) this.collector?.addEgressRule(Peer.anyIpv4(), Port.HTTPS, 'the collector to Glue');
    migrations.connections.allowTo(database, postgres, 'migrations to the database');
    if (this.target.database.proxy) {
      functions.connections.allowTo(proxy, postgres, 'consumers to the proxy');
      page?.connections.allowTo(proxy, postgres, 'the page to the proxy');
      proxy.connections.allowTo(database, postgres, 'the proxy to the database');
    } else {
      functions.connections.allowTo(database, postgres, 'consumers to the database');
      page?.connections.allowTo(database, postgres, 'the page to the database');
    }
  }

  private groupsOfConnectors(): ReadonlyMap<string, SecurityGroup> {
    const names = Object.keys(this.target.capture?.databases ?? {});
    return new Map(
      names.map((name) => [name, this.addGroup(`Connector-${name}`, `The connector that captures ${name}`)]),
    );
  }

  /** A connector reaches the brokers and its own database. It signs its logins itself, so it calls no service of AWS. */
  private addCapture(): void {
    for (const [name, source] of Object.entries(this.target.capture?.databases ?? {})) {
      const connector = this.connectors.get(name)!;
      connector.connections.allowTo(
        this.brokers,
        Port.tcp(PORTS.brokers),
        'the connector publishes changes, IAM over TLS',
      );
      const [database, port] =
        source.type === 'own'
          ? [this.database, PORTS.database]
          : [
              SecurityGroup.fromSecurityGroupId(this, `Source-${name}`, source.securityGroupId),
              source.port ?? PORTS.database,
            ];
      connector.connections.allowTo(database, Port.tcp(port), `the connector to ${name}`);
    }
  }

  private addProducers(): void {
    const { securityGroupIds = [], cidrs = [] } = this.target.producers ?? {};
    for (const peer of [...securityGroupIds.map((id) => Peer.securityGroupId(id)), ...cidrs.map(Peer.ipv4)]) {
      this.brokers.addIngressRule(peer, Port.tcp(PORTS.brokers), 'producers publish records, IAM over TLS');
    }
  }

  private addEndpoints(): void {
    const endpoints = this.addGroup('Endpoints', 'Interface endpoints of AWS services');
    const pollersCall = this.target.polling.mode === 'on-demand';
    if (pollersCall) this.brokers.connections.allowTo(endpoints, Port.HTTPS, 'pollers to Lambda and STS');
    this.functions.connections.allowTo(endpoints, Port.HTTPS, 'consumers to Glue and SQS');
    this.collector?.connections.allowTo(endpoints, Port.HTTPS, 'the collector to Glue');
    const all = { ...(pollersCall && OF_ON_DEMAND_POLLERS), ...OF_FUNCTIONS };
    for (const [name, { service, caller, pollersMay }] of Object.entries(all)) {
      const endpoint = this.vpc.addInterfaceEndpoint(name, {
        service,
        open: false,
        securityGroups: [endpoints],
        subnets: this.subnets(caller),
      });
      endpoint.addToPolicy(
        pollersMay === undefined
          ? this.perimeter(service.shortName, 'aws:PrincipalAccount')
          : // With the resource "*", as Lambda's page says: https://docs.aws.amazon.com/lambda/latest/dg/with-msk-cluster-network.html (2026-11-26)
            new PolicyStatement({
              principals: [new ServicePrincipal('lambda.amazonaws.com')],
              actions: [pollersMay],
              resources: ['*'],
            }),
      );
    }
  }

  /** Whose calls an endpoint lets through, or to whose resources; what they may do is for the callers' roles to say. */
  private perimeter(service: string, key: 'aws:PrincipalAccount' | 'aws:ResourceAccount'): PolicyStatement {
    // https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html (2026-11-25)
    return new PolicyStatement({
      principals: [new AnyPrincipal()],
      actions: [`${service}:*`],
      resources: ['*'],
      conditions: { StringEquals: { [key]: this.account } },
    });
  }

  private groupOfBrokers(): ISecurityGroup {
    const { brokers } = this.target;
    if (brokers.type === 'existing')
      return SecurityGroup.fromSecurityGroupId(this, 'Brokers', brokers.securityGroupId);
    return this.addGroup('Brokers', 'Kafka brokers, and the pollers that Lambda places beside them');
  }

  private addGroup(id: string, description: string): SecurityGroup {
    return new SecurityGroup(this, id, { vpc: this.vpc, description, allowAllOutbound: false });
  }
}

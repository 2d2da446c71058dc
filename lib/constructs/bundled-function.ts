import { existsSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArnFormat, type Duration, Lazy, Stack, Validations } from 'aws-cdk-lib';
import type { SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import {
  CfnManagedPolicy,
  CfnPolicy,
  Effect,
  PolicyStatement,
  Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import { Architecture, type CfnFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import {
  Charset,
  type ICommandHooks,
  LogLevel,
  NodejsFunction,
  OutputFormat,
  SourceMapMode,
} from 'aws-cdk-lib/aws-lambda-nodejs';
import type { Construct } from 'constructs';
import { PAGE_PART, SETTINGS } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { DemoPage } from '../../runtime/page.ts';
import type { EnvironmentStack } from '../environment-stack.ts';
import { PARTS, type Part } from './bundle-parts.ts';
import { bootstrapBrokers, type Cluster, kafkaArn } from './cluster.ts';
import type { Network, Operations } from './surroundings.ts';

const PG_UNUSED = fileURLToPath(new URL('../../adapters/postgres/pg-unused.cjs', import.meta.url));
const BUNDLE_PARTS = fileURLToPath(new URL(`bundle-parts${extname(import.meta.url)}`, import.meta.url));
const WRITE_PAGE = fileURLToPath(new URL(`write-page${extname(import.meta.url)}`, import.meta.url));

/** What stands in a bundle for a package: less of it, or none. */
export const ALIASES = {
  'pg-cloudflare': PG_UNUSED,
  'pg-types': PG_UNUSED,
  'pg-connection-string': PG_UNUSED,
};

/** How a function's code becomes one file. A test holds what comes out under 256 kB. */
export const BUNDLING = {
  minify: true,
  logLevel: LogLevel.WARNING,
  target: 'node24',
  format: OutputFormat.CJS,
  charset: Charset.UTF8,
  // Stacks in logs and dead letters name our own files and lines; the sources themselves stay at home.
  sourceMap: true,
  sourceMapMode: SourceMapMode.DEFAULT,
  sourcesContent: false,
  // A bundle is no module: what asks for its address is told so, without a warning at each synthesis.
  define: { 'import.meta.url': 'undefined' },
  // What a handler of yours asks of the SDK, the runtime brings; what Millrace does stands in files of its own (bundle-parts.ts).
  // pg asks for pgpass only where it is given no password.
  externalModules: ['@aws-sdk/*', 'pgpass', ...Object.keys(PARTS)],
  esbuildArgs: {
    '--legal-comments': 'none',
    // By require(): import() of a bundle takes Node several times as long, because it looks for the names that it exports.
    '--supported:dynamic-import': 'false',
    ...Object.fromEntries(Object.entries(ALIASES).map(([name, path]) => [`--alias:${name}`, path])),
  },
};

/** Puts parts (bundle-parts.ts), and a page's files (write-page.ts), beside a function's own file. */
function withParts(parts: readonly Part[], page: BundledPage | undefined): ICommandHooks {
  const command = (...words: readonly string[]) =>
    [process.execPath, ...words].map((word) => `"${word}"`).join(' ');
  return {
    beforeBundling: () => [],
    beforeInstall: () => [],
    afterBundling: (_inputDir, outputDir) => [
      command(BUNDLE_PARTS, outputDir, ...parts),
      // As base64, so that no shell reads what its queries hold.
      ...(page
        ? [
            command(
              WRITE_PAGE,
              outputDir,
              page.root,
              Buffer.from(JSON.stringify(page.declared)).toString('base64'),
            ),
          ]
        : []),
    ],
  };
}

/** A page of the app's, whose files stand beside the function's code. */
export interface BundledPage {
  /** The folder of the app. */
  readonly root: string;
  readonly declared: DemoPage;
}

export interface BundledFunctionProps {
  /** The folder in `lambdas/` whose `index.ts` exports `handler`; or one of our own functions. */
  readonly folder: string;
  readonly functionName: string;
  readonly description: string;
  /** `service` on every log line. */
  readonly service: string;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly reservedConcurrency?: number;
  readonly securityGroups: readonly SecurityGroup[];
  readonly environment: Readonly<Record<string, string>>;
  /** What it needs beside its own code. */
  readonly parts: readonly Part[];
  /** @default it has no page */
  readonly page?: DemoPage;
  /** Topics that it writes to, none where it only connects: it gets `#msk`, the cluster's brokers, and the rights. */
  readonly writesTo?: { readonly cluster: Cluster; readonly topics: readonly string[] };
}

/**
 * A function of the app: one file on Node 24 and Graviton, in the private network, with a log group of its own
 * and a role that may write to it, keep its network interfaces, and nothing else until it is granted.
 * @throws CONSUMER_INVALID when lambdas/<folder>/index.ts is missing
 */
export class BundledFunction extends NodejsFunction {
  constructor(
    scope: Construct,
    id: string,
    { network, operations }: { readonly network: Network; readonly operations: Operations },
    props: BundledFunctionProps,
  ) {
    const logGroup = operations.addLogGroup(scope, `${id}Logs`);
    const role = new Role(scope, `${id}Role`, {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `What ${props.functionName} may do`,
    });
    logGroup.grantWrite(role);
    for (const statement of networkInterfaces(Stack.of(scope), props.functionName))
      role.addToPolicy(statement);
    const { writesTo } = props;
    const { appRoot, name } = (Stack.of(scope) as EnvironmentStack).target;
    const entry = entryOf(appRoot, props.folder);
    const isOwn = OWN.includes(props.folder);
    const project = isOwn ? packageOf(entry) : resolve(appRoot);
    const parts: readonly Part[] = writesTo ? [...props.parts, '#msk'] : props.parts;
    const page = props.page && { root: resolve(appRoot), declared: props.page };
    super(scope, id, {
      entry,
      // The CDK wants the entry under it, and looks for esbuild from there on upwards.
      projectRoot: project,
      depsLockFilePath: join(project, isOwn ? 'package.json' : 'package-lock.json'),
      bundling: { ...BUNDLING, commandHooks: withParts(parts, page) },
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      functionName: props.functionName,
      description: props.description,
      memorySize: props.memoryMb,
      timeout: props.timeout,
      ...(props.reservedConcurrency !== undefined && {
        reservedConcurrentExecutions: props.reservedConcurrency,
      }),
      role,
      logGroup,
      vpc: network.vpc,
      vpcSubnets: network.subnets('functions'),
      securityGroups: [...props.securityGroups],
      environment: {
        POWERTOOLS_SERVICE_NAME: props.service,
        POWERTOOLS_LOG_LEVEL: 'INFO',
        NODE_OPTIONS: '--enable-source-maps',
        // RDS signs its servers' certificates itself; the runtime keeps its authorities in this file, and reads it
        // only when told to: https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html (2026-11-24)
        NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem',
        [SETTINGS.environment]: name,
        ...props.environment,
        ...(writesTo && {
          [SETTINGS.brokers]: bootstrapBrokers(scope, `${id}Brokers`, writesTo.cluster, operations),
        }),
      },
    });
    if (writesTo) for (const right of writing(writesTo)) this.addToRolePolicy(right);
    dependOnlyOnRights(this, role);
    this.acknowledgeWildcard('*', 'EC2 and Glue have no narrower resource for these actions.');
  }

  /** Tells cdk-nag why one of the function's rights has a wildcard; test/lib/permissions.test.ts lists them all. */
  acknowledgeWildcard(resource: string, reason: string): void {
    const policy = this.role!.node.findChild('DefaultPolicy');
    Validations.of(policy).acknowledge({ id: `AwsSolutions-IAM5[Resource::${resource}]`, reason });
  }
}

/**
 * Without its rights the function could neither log nor start, so it waits for them: for its role's policy, and for the
 * managed ones into which the CDK moves what one policy has no room for. The CDK makes it wait for the role too, which its
 * property says already, and which cfn-lint calls a mistake (W3005).
 */
function dependOnlyOnRights(fn: NodejsFunction, role: Role): void {
  const logicalIds = Lazy.any({
    produce: () =>
      role.node
        .findAll()
        .filter((each) => each instanceof CfnPolicy || each instanceof CfnManagedPolicy)
        .map((policy) => fn.stack.getLogicalId(policy)),
  });
  (fn.node.defaultChild as CfnFunction).addOverride('DependsOn', logicalIds);
}

/**
 * What Lambda, and an event source mapping's pollers, need in a network. None of it can be limited to a resource, so it is
 * denied to the function's own code, which needs none of it.
 * https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions (2026-11-24),
 * https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html (2026-11-26)
 */
function networkInterfaces(stack: Stack, functionName: string): PolicyStatement[] {
  const actions = [
    'ec2:CreateNetworkInterface',
    'ec2:DeleteNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSecurityGroups',
    'ec2:DescribeSubnets',
    'ec2:DescribeVpcs',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ];
  // By its name: the function waits for this policy, so the policy cannot wait for the function.
  const ownCode = stack.formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: functionName,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  return [
    new PolicyStatement({ sid: 'NetworkInterfaces', actions, resources: ['*'] }),
    new PolicyStatement({
      sid: 'NoNetworkInterfacesForCode',
      effect: Effect.DENY,
      actions: [...actions, 'ec2:DetachNetworkInterface'],
      resources: ['*'],
      conditions: { ArnEquals: { 'lambda:SourceFunctionArn': ownCode } },
    }),
  ];
}

/** https://docs.aws.amazon.com/msk/latest/developerguide/iam-access-control-use-cases.html (2026-11-25): "Produce data idempotently" */
function writing({ cluster, topics }: NonNullable<BundledFunctionProps['writesTo']>): PolicyStatement[] {
  return [
    new PolicyStatement({
      actions: [
        'kafka-cluster:Connect',
        ...(topics.length > 0 ? ['kafka-cluster:WriteDataIdempotently'] : []),
      ],
      resources: [cluster.arn],
    }),
    ...(topics.length === 0
      ? []
      : [
          new PolicyStatement({
            actions: ['kafka-cluster:DescribeTopic', 'kafka-cluster:WriteData'],
            resources: topics.map((topic) => kafkaArn(cluster, 'topic', topic)),
          }),
        ]),
  ];
}

/** This package's folder. */
function packageOf(file: string): string {
  const folder = dirname(file);
  return existsSync(join(folder, 'package.json')) ? folder : packageOf(folder);
}

/** The one folder of all archives, which have no code of their own. */
export const ARCHIVE_FOLDER = 'archive';

/** Functions of our own, which no app has a folder for: names that no consumer of an app may have. */
const OWN: readonly string[] = ['millrace-probe', 'operator', PAGE_PART];

function entryOf(appRoot: string, folder: string): string {
  if (OWN.includes(folder)) {
    const path = `../../adapters/aws/functions/${folder}${extname(import.meta.url)}`;
    return fileURLToPath(new URL(path, import.meta.url));
  }
  const entry = join(appRoot, 'lambdas', folder, 'index.ts');
  if (existsSync(entry)) return entry;
  if (folder === ARCHIVE_FOLDER) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      "lambdas/archive/index.ts is missing. It is the Lambda entry of all of the app's archives. Write two lines into it: import app from " +
        "'../../millrace.config.ts'; and export const handler = archiveFunction(app); with archiveFunction from millrace/lambda.",
      { details: { folder } },
    );
  }
  throw new MillraceError(
    'CONSUMER_INVALID',
    `Consumer ${JSON.stringify(folder)}: lambdas/${folder}/index.ts is missing. A consumer's folder has the consumer's name, and its ` +
      'index.ts exports the Lambda entry: export const handler = consumerFunction(<the consumer>).',
    { details: { consumer: folder } },
  );
}

import { Duration, Validations } from 'aws-cdk-lib';
import {
  AuthorizationType,
  type CfnAuthorizer,
  CognitoUserPoolsAuthorizer,
  LambdaIntegration,
  type MethodDeploymentOptions,
  type MethodOptions,
  RequestAuthorizer,
  type RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { UserPool } from 'aws-cdk-lib/aws-cognito';
import type { SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Function as ImportedFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { PAGE_PART, SETTINGS } from '../../runtime/deployment.ts';
import { type CollectorSettings, type PageSettings, pageConcurrency } from '../../runtime/environment.ts';
import { type DemoPage, PAGE_ROLE, pageFiles } from '../../runtime/page.ts';
import type { EnvironmentStack } from '../environment-stack.ts';
import { BundledFunction } from './bundled-function.ts';
import { STAGE } from './collector-api.ts';
import type { ConsumerSurroundings } from './surroundings.ts';

/** Less than API Gateway waits, and more than a paused database takes to wake, most times. */
const TIMEOUT = Duration.seconds(25);
const MEMORY_MB = 512;
/** A second, for each of the page's paths: some hundred viewers, whose pages ask once a second. */
const RATE = 200;

const PATHS = ['/page', '/page/live', '/page/data', '/page/assets/{file}'] as const;
/** The one that is asked all the time. */
export const PAGE_DATA_PATH = '/page/data';

/** Limits and metrics of the page's own, so that neither its viewers nor its failures are the collector's. */
export const PAGE_METHOD_OPTIONS: Readonly<Record<string, MethodDeploymentOptions>> = Object.fromEntries(
  PATHS.map((path) => [
    `${path}/GET`,
    {
      throttlingRateLimit: RATE,
      throttlingBurstLimit: RATE,
      dataTraceEnabled: false,
      ...(path === PAGE_DATA_PATH && { metricsEnabled: true }),
    },
  ]),
);

export interface CollectorPageProps {
  readonly api: RestApi;
  readonly collector: CollectorSettings & { readonly page: PageSettings };
  readonly page: DemoPage;
  readonly securityGroup: SecurityGroup;
}

/**
 * The app's page behind the collector's API, for whoever its authorizer lets through: `GET /page`, and what that loads. One function of our
 * own that reads the tables as a role which writes nothing.
 */
export class CollectorPage extends Construct {
  readonly fn: BundledFunction;
  /** Lets whoever has it open the page, where IAM says who may. */
  readonly policy: ManagedPolicy | undefined;

  constructor(
    scope: EnvironmentStack,
    id: string,
    surroundings: Pick<ConsumerSurroundings, 'network' | 'operations' | 'database'>,
    { api, collector, page, securityGroup }: CollectorPageProps,
  ) {
    super(scope, id);
    const { database } = surroundings;
    const { authorizer } = collector.page;
    this.fn = new BundledFunction(scope, 'PageFunction', surroundings, {
      folder: PAGE_PART,
      parts: ['#rds'],
      page,
      functionName: scope.nameOf(PAGE_PART),
      description: 'Shows tables to whoever is signed in, read only',
      service: 'page',
      memoryMb: MEMORY_MB,
      timeout: TIMEOUT,
      reservedConcurrency: pageConcurrency(collector),
      securityGroups: [securityGroup],
      environment: {
        [SETTINGS.databaseHost]: database.host,
        [SETTINGS.databaseName]: database.databaseName,
      },
    });
    database.grantConnect(this.fn, PAGE_ROLE);

    const integration = new LambdaIntegration(this.fn, { proxy: true, allowTestInvoke: false });
    const authorization = this.authorizationBy(authorizer);
    for (const path of PATHS) {
      const method = api.root.resourceForPath(path).addMethod('GET', integration, authorization);
      // What cdk-nag would have of every API; the others' reasons stand in collector-api.ts.
      if (authorizer !== 'iam') continue;
      Validations.of(method).acknowledge({
        id: 'AwsSolutions-COG4',
        reason: 'IAM says who may read: the environment’s choice, collector.page.authorizer.',
      });
    }
    this.policy = authorizer === 'iam' ? this.addPolicy(scope, api, page) : undefined;
  }

  private authorizationBy(authorizer: PageSettings['authorizer']): MethodOptions {
    if (authorizer === 'iam') return { authorizationType: AuthorizationType.IAM };
    if ('userPoolArn' in authorizer) {
      const pool = UserPool.fromUserPoolArn(this, 'UserPool', authorizer.userPoolArn);
      return { authorizer: new CognitoUserPoolsAuthorizer(this, 'Authorizer', { cognitoUserPools: [pool] }) };
    }
    // Asked about each request: an answer that is kept would have to speak for every path, which few authorizers do.
    const handler = ImportedFunction.fromFunctionAttributes(this, 'AuthorizerFunction', {
      functionArn: authorizer.lambdaArn,
      sameEnvironment: true,
    });
    const asked = new RequestAuthorizer(this, 'Authorizer', {
      handler,
      identitySources: [],
      resultsCacheTtl: Duration.seconds(0),
    });
    // The CDK writes an empty identity source. An authorizer without a cache needs none:
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigateway-authorizer.html (2026-11-27)
    (asked.node.defaultChild as CfnAuthorizer).addPropertyDeletionOverride('IdentitySource');
    return { authorizer: asked };
  }

  /** It never changes: whoever may deploy, and no more, cannot write another version of a policy. */
  private addPolicy(scope: EnvironmentStack, api: RestApi, page: DemoPage): ManagedPolicy {
    const paths = [
      '/page',
      '/page/live',
      PAGE_DATA_PATH,
      ...pageFiles(page).map((file) => `/page/assets/${file}`),
    ];
    return new ManagedPolicy(this, 'Viewers', {
      managedPolicyName: scope.nameOf('page'),
      description: `Lets people see the page of ${scope.target.name}`,
      statements: [
        new PolicyStatement({
          actions: ['execute-api:Invoke'],
          resources: paths.map((path) => api.arnForExecuteApi('GET', path, STAGE)),
        }),
      ],
    });
  }
}

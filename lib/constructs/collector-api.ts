import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import {
  AccessLogField,
  AccessLogFormat,
  CfnAccount,
  type CfnRestApi,
  type CfnStage,
  EndpointType,
  LambdaIntegration,
  LogGroupLogDestination,
  type MethodDeploymentOptions,
  ResponseType,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { ManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { CfnWebACLAssociation } from 'aws-cdk-lib/aws-wafv2';
import { Construct } from 'constructs';
import type { CollectorSettings } from '../../runtime/environment.ts';
import type { EnvironmentStack } from '../environment-stack.ts';

export const STAGE = 'v1';
export const EVENTS_PATH = '/events/{topic}';

/** As long as API Gateway waits: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html (2026-11-25) */
const INTEGRATION_TIMEOUT = Duration.seconds(29);

/**
 * What a request leaves behind: nothing of whoever sent it, neither address nor browser, and nothing of what was sent.
 * Names: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html (2026-11-25)
 */
const ACCESS_LOG = {
  requestId: AccessLogField.contextRequestId(),
  extendedRequestId: AccessLogField.contextExtendedRequestId(),
  at: AccessLogField.contextRequestTimeEpoch(),
  method: AccessLogField.contextHttpMethod(),
  path: AccessLogField.contextPath(),
  status: AccessLogField.contextStatus(),
  responseBytes: AccessLogField.contextResponseLength(),
  latencyMs: AccessLogField.contextResponseLatency(),
  integrationLatencyMs: AccessLogField.contextIntegrationLatency(),
  error: AccessLogField.contextErrorResponseType(),
  waf: '$context.waf.status',
};

export interface CollectorApiProps extends CollectorSettings {
  readonly apiName: string;
  readonly handler: IFunction;
  readonly accessLogs: LogGroup;
  /** Limits and metrics of other methods than the collector's own. @default there are none, and the stage counts them all together */
  readonly others?: Readonly<Record<string, MethodDeploymentOptions>> | undefined;
}

/**
 * `POST /events/{topic}` in front of a function: a regional REST API, because only such a one can have a web ACL of AWS WAF
 * itself, and takes beacons (docs/deploy.md weighs it against the others).
 */
export class CollectorApi extends Construct {
  /** Ends in `/v1/`. */
  readonly url: string;
  readonly api: RestApi;

  constructor(scope: EnvironmentStack, id: string, props: CollectorApiProps) {
    super(scope, id);
    const { apiName, handler, accessLogs, rate, burst, webAclArn, others } = props;
    const api = new RestApi(this, 'Api', {
      restApiName: apiName,
      description: 'Takes events over HTTP',
      endpointTypes: [EndpointType.REGIONAL],
      // As base64: made into text, bytes that are no UTF-8 would be others by the time the function refuses them.
      binaryMediaTypes: ['*/*'],
      deployOptions: {
        stageName: STAGE,
        throttlingRateLimit: rate,
        throttlingBurstLimit: burst,
        accessLogDestination: new LogGroupLogDestination(accessLogs),
        accessLogFormat: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
        ...(others && {
          methodOptions: {
            // Counted apart: a failing page is no failing collector.
            [`${EVENTS_PATH}/POST`]: {
              throttlingRateLimit: rate,
              throttlingBurstLimit: burst,
              dataTraceEnabled: false,
              metricsEnabled: true,
            },
            ...others,
          },
        }),
      },
    });
    const resource = api.node.defaultChild as CfnRestApi;
    // Left to itself a regional API takes TLS 1.0:
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-security-policies-list.html (2026-11-25)
    resource.securityPolicy = 'SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09';
    resource.endpointAccessMode = 'STRICT';

    this.api = api;
    const events = api.root.resourceForPath(EVENTS_PATH);
    const integration = new LambdaIntegration(handler, {
      proxy: true,
      allowTestInvoke: false,
      timeout: INTEGRATION_TIMEOUT,
    });
    for (const method of ['POST', 'OPTIONS']) events.addMethod(method, integration);
    // A page cannot read an answer without these, and API Gateway's own say nothing that any page might not know.
    const readable = {
      'Access-Control-Allow-Origin': "'*'",
      'Access-Control-Expose-Headers': "'Retry-After'",
    };
    for (const [id, type] of [
      ['Refused', ResponseType.DEFAULT_4XX],
      ['Failed', ResponseType.DEFAULT_5XX],
    ] as const)
      api.addGatewayResponse(id, { type, responseHeaders: readable });
    api.addGatewayResponse('TooMany', {
      type: ResponseType.THROTTLED,
      responseHeaders: { ...readable, 'Retry-After': "'5'" },
    });

    const stage = api.deploymentStage;
    stage.node.addDependency(addLogsRole(this));
    if (webAclArn) {
      new CfnWebACLAssociation(this, 'WebAcl', { resourceArn: stage.stageArn, webAclArn });
    }
    acknowledge(api, stage.node.defaultChild as CfnStage);
    // The stack says the whole of it.
    api.node.tryRemoveChild('Endpoint');
    this.url = api.url;
  }
}

/**
 * API Gateway writes access logs as one role for each account and region, whichever API they are of. So it may what AWS's own
 * policy says and no less, and it stays when this stack goes: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html (2026-11-25)
 */
function addLogsRole(scope: Construct): CfnAccount {
  const role = new Role(scope, 'LogsRole', {
    assumedBy: new ServicePrincipal('apigateway.amazonaws.com'),
    description: 'The role with which API Gateway writes logs, for the whole account and region',
    managedPolicies: [
      ManagedPolicy.fromAwsManagedPolicyName('service-role/AmazonAPIGatewayPushToCloudWatchLogs'),
    ],
  });
  role.applyRemovalPolicy(RemovalPolicy.RETAIN);
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]',
    reason: 'Other APIs of the account also write their logs with this role.',
  });
  const account = new CfnAccount(scope, 'Account', { cloudWatchRoleArn: role.roleArn });
  account.applyRemovalPolicy(RemovalPolicy.RETAIN);
  return account;
}

/** What cdk-nag asks of an API in general, and why this one is otherwise. */
function acknowledge(api: RestApi, stage: CfnStage): void {
  Validations.of(api).acknowledge({
    id: 'AwsSolutions-APIG2',
    reason: 'The function checks every event against its contract and returns a verdict on each.',
  });
  for (const id of ['AwsSolutions-APIG4', 'AwsSolutions-COG4']) {
    Validations.of(api).acknowledge({
      id,
      reason: 'It is open to every reader of a page. A list opens topics, and rates are limited.',
    });
  }
  Validations.of(stage).acknowledge({
    id: 'AwsSolutions-APIG6',
    reason:
      'Execution logs contain what was sent, and by whom. The access log and the function’s log are enough.',
  });
  Validations.of(stage).acknowledge({
    id: 'AwsSolutions-APIG3',
    reason: 'A web ACL is the environment’s choice: collector.webAclArn.',
  });
}

/** The page behind the collector's API: off unless an environment asks for it, and open to nobody without a login. */
import { describe, expect, test } from '@jest/globals';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { paged } from '../fixtures/newsdesk/paged.ts';
import { ENVIRONMENT_NAMES, resourcesOf, templatesOf, withVariant } from './synthesized.ts';
import { LAMBDA_ARN, VARIANTS } from './variants.ts';

const POOL_ARN = 'arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI';
const ofIam = withVariant(VARIANTS['a page for whoever IAM lets in']!);
const ofLambda = withVariant(VARIANTS['a page behind an authorizer of their own, and no proxy']!);
const prod = newsdesk.environments.prod!;
const ofPool = {
  demo: paged.demo!,
  settings: { collector: { ...prod.collector!, page: { authorizer: { userPoolArn: POOL_ARN } } } },
};

interface Method {
  readonly path: string;
  readonly verb: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
  readonly properties: any;
}

/** Every method of the API, by its whole path. */
function methodsIn(collector: Template): readonly Method[] {
  const parts = collector.findResources('AWS::ApiGateway::Resource');
  const pathOf = (id: { Ref?: string }): string => {
    const part = id.Ref === undefined ? undefined : parts[id.Ref];
    return part ? `${pathOf(part.Properties.ParentId)}/${part.Properties.PathPart}` : '';
  };
  return Object.values(collector.findResources('AWS::ApiGateway::Method')).map(({ Properties }) => ({
    path: pathOf(Properties.ResourceId),
    verb: Properties.HttpMethod,
    properties: Properties,
  }));
}

const pageMethods = (collector: Template) =>
  methodsIn(collector).filter(({ path }) => path === '/page' || path.startsWith('/page/'));

test.each(ENVIRONMENT_NAMES)('nothing of it is in %s, though the app has a page', (env) => {
  const templates = templatesOf(env, { demo: paged.demo! });
  const as = (of: typeof templates) =>
    Object.entries(of).map(([part, template]) => [part, template.toJSON()]);
  expect(as(templates)).toEqual(as(templatesOf(env)));
});

describe.each([
  ['IAM', ofIam, { AuthorizationType: 'AWS_IAM' }],
  ['a user pool', ofPool, { AuthorizationType: 'COGNITO_USER_POOLS', AuthorizerId: Match.anyValue() }],
  ['an authorizer of their own', ofLambda, { AuthorizationType: 'CUSTOM', AuthorizerId: Match.anyValue() }],
])('with %s', (_, options, authorization) => {
  const { collector } = templatesOf('prod', options);

  test('every path of the page asks who it is, and takes GET alone', () => {
    const methods = pageMethods(collector!);
    expect(methods.map(({ path, verb }) => `${verb} ${path}`).toSorted()).toEqual([
      'GET /page',
      'GET /page/assets/{file}',
      'GET /page/data',
      'GET /page/live',
    ]);
    for (const { properties } of methods) {
      expect(properties.AuthorizationType).toBe(authorization.AuthorizationType);
      expect(properties.AuthorizerId !== undefined).toBe('AuthorizerId' in authorization);
    }
  });

  test('the collector stays open, and nothing else is', () => {
    const open = methodsIn(collector!).filter(({ properties }) => properties.AuthorizationType === 'NONE');
    expect(open.map(({ path, verb }) => `${verb} ${path}`).toSorted()).toEqual([
      'OPTIONS /events/{topic}',
      'POST /events/{topic}',
    ]);
  });
});

test('an authorizer of their own is asked about each request, by this API alone', () => {
  const { collector } = templatesOf('dev', ofLambda);
  collector!.hasResourceProperties('AWS::ApiGateway::Authorizer', {
    Type: 'REQUEST',
    AuthorizerResultTtlInSeconds: 0,
    AuthorizerUri: Match.stringLikeRegexp(`/functions/${LAMBDA_ARN}/invocations$`),
    IdentitySource: Match.absent(),
  });
  collector!.hasResourceProperties('AWS::Lambda::Permission', {
    FunctionName: LAMBDA_ARN,
    Principal: 'apigateway.amazonaws.com',
    SourceArn: Match.anyValue(),
  });
});

test('a user pool is the one that the settings name', () => {
  templatesOf('prod', ofPool).collector!.hasResourceProperties('AWS::ApiGateway::Authorizer', {
    Type: 'COGNITO_USER_POOLS',
    ProviderARNs: [POOL_ARN],
  });
});

describe('its function', () => {
  const { collector, migrations, database, network } = templatesOf('prod', ofIam);

  test('may log in as the role that reads, write its log, and nothing else', () => {
    const policies = resourcesOf({ collector: collector! }).filter(
      ({ Type, id }) => Type === 'AWS::IAM::Policy' && id.includes('/PageFunctionRoleDefaultPolicy'),
    );
    const statements = policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
    const allowed = statements
      .filter(({ Effect }) => Effect === 'Allow')
      .flatMap(({ Action }) => Action as string | string[])
      .filter((action) => !action.startsWith('ec2:'));
    expect(allowed.toSorted()).toEqual(['logs:CreateLogStream', 'logs:PutLogEvents', 'rds-db:connect']);
    expect(JSON.stringify(statements)).toContain('/millrace-page"');
  });

  test('runs five times at most, in a group that reaches the database’s proxy alone', () => {
    collector!.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'millrace-prod-collector-page',
      ReservedConcurrentExecutions: 5,
    });
    const [id] = Object.entries(network!.findResources('AWS::EC2::SecurityGroup')).find(
      ([, { Properties }]) => Properties.GroupDescription.includes('for the page'),
    )!;
    const leaving = Object.values(network!.findResources('AWS::EC2::SecurityGroupEgress')).filter(
      ({ Properties }) => Properties.GroupId['Fn::GetAtt'][0] === id,
    );
    expect(leaving.map(({ Properties }) => [Properties.ToPort, Properties.Description])).toEqual([
      [5432, 'the page to the proxy'],
    ]);
  });

  test('as many run as the settings say', () => {
    templatesOf('dev', ofLambda).collector!.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'millrace-dev-collector-page',
      ReservedConcurrentExecutions: 2,
    });
  });

  test('finds its role: the migrations make it, and the proxy lets it in', () => {
    migrations!.hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: Match.objectLike({ MILLRACE_PAGE_CONSUMER: 'editorial-analytics' }) },
    });
    const ofProxy = Object.values(database!.findResources('AWS::IAM::Policy'));
    expect(JSON.stringify(ofProxy)).toContain('/millrace-page');
  });

  test('is given nothing of any consumer', () => {
    const functions = Object.values(collector!.findResources('AWS::Lambda::Function'));
    const { Environment } = functions.find(
      ({ Properties }) => Properties.FunctionName === 'millrace-prod-collector-page',
    )!.Properties;
    expect(
      Object.keys(Environment.Variables)
        .filter((name) => name.startsWith('MILLRACE_'))
        .toSorted(),
    ).toEqual(['MILLRACE_DATABASE_HOST', 'MILLRACE_DATABASE_NAME', 'MILLRACE_ENVIRONMENT']);
  });
});

test('whoever has the policy may ask for the page’s own paths, each by its name', () => {
  const { collector } = templatesOf('prod', ofIam);
  const [policy] = Object.values(collector!.findResources('AWS::IAM::ManagedPolicy'));
  expect(policy!.Properties.ManagedPolicyName).toBe('millrace-prod-page');
  const [statement, ...others] = policy!.Properties.PolicyDocument.Statement;
  expect(others).toEqual([]);
  expect(statement.Action).toBe('execute-api:Invoke');
  const paths = statement.Resource.map((arn: { 'Fn::Join': [string, unknown[]] }) =>
    arn['Fn::Join'][1].at(-1),
  );
  expect(paths).toEqual(
    ['', '/assets/icon.svg', '/assets/most-read.css', '/assets/most-read.js', '/data', '/live'].map(
      (path) => `/v1/GET/page${path}`,
    ),
  );
  expect(templatesOf('prod', ofPool).collector!.findResources('AWS::IAM::ManagedPolicy')).toEqual({});
});

describe('the collector does not feel it', () => {
  const { collector } = templatesOf('prod', ofIam);

  test('its alarms look at its own requests, and the page has one of its own', () => {
    const dimensions = (kind: string) => {
      const alarms = Object.values(collector!.findResources('AWS::CloudWatch::Alarm'));
      const { Properties } = alarms.find(({ Properties: { AlarmName } }) =>
        AlarmName.endsWith(`collector-${kind}`),
      )!;
      const text = JSON.stringify(Properties);
      return [...text.matchAll(/"Name":"(?:Method|Resource)","Value":"([^"]+)"/g)].map(([, value]) => value);
    };
    const post = ['POST', '/events/{topic}'];
    expect(dimensions('collector-failing')).toEqual([...post, ...post]);
    expect(dimensions('collector-slow')).toEqual(post);
    const data = ['GET', '/page/data'];
    expect(dimensions('page-failing')).toEqual([...data, ...data]);
    const [filter] = Object.values(collector!.findResources('AWS::Logs::MetricFilter'));
    expect(filter!.Properties.FilterPattern).toBe('{ ($.status = "429") && ($.path = "*/events/*") }');
  });

  test('each path has a rate of its own, those that alarms look at are counted, and no body is logged', () => {
    const [stage] = Object.values(collector!.findResources('AWS::ApiGateway::Stage'));
    const settings = stage!.Properties.MethodSettings as Record<string, unknown>[];
    const of = (path: string, verb: string) =>
      settings.find(
        ({ ResourcePath, HttpMethod }) =>
          ResourcePath === `/${path.replaceAll('/', '~1')}` && HttpMethod === verb,
      );
    expect(of('/events/{topic}', 'POST')).toMatchObject({
      ThrottlingRateLimit: prod.collector!.rate,
      ThrottlingBurstLimit: prod.collector!.burst,
      MetricsEnabled: true,
    });
    expect(of('/page/data', 'GET')).toMatchObject({ ThrottlingRateLimit: 200, MetricsEnabled: true });
    for (const path of ['/page', '/page/live', '/page/assets/{file}'])
      expect(of(path, 'GET')).toMatchObject({ ThrottlingRateLimit: 200 });
    for (const each of settings) expect(each.DataTraceEnabled).toBe(false);
  });
});

test.each([
  ['the app has no page', newsdesk.demo!, undefined, /prod\.collector\.page is .* the app has no page/],
  ['nothing is collected', paged.demo!, [], /prod\.collector\.page is .* no collector without a topic/],
])('it is refused where %s', (_, demo, collected, message) => {
  expect(() => templatesOf('prod', { ...ofIam, demo, ...(collected && { collected }) })).toThrow(
    expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) }),
  );
});

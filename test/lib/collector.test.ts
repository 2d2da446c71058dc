import { describe, expect, test } from '@jest/globals';
import { Match } from 'aws-cdk-lib/assertions';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { ENVIRONMENT_NAMES, templatesOf } from './synthesized.ts';

const webAclArn = 'arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/theirs/6b1f0e6c-6c0a-4b0e';

describe.each(ENVIRONMENT_NAMES)('in %s the collector', (env) => {
  const { collector } = templatesOf(env) as Required<ReturnType<typeof templatesOf>>;
  const settings = newsdesk.environments[env]!.collector!;

  test('takes as many requests as its settings say', () => {
    collector!.hasResourceProperties('AWS::ApiGateway::Stage', {
      StageName: 'v1',
      MethodSettings: [
        {
          HttpMethod: '*',
          ResourcePath: '/*',
          ThrottlingRateLimit: settings.rate,
          ThrottlingBurstLimit: settings.burst,
          // What was sent is in no log.
          DataTraceEnabled: false,
        },
      ],
    });
    collector!.hasResourceProperties('AWS::ApiGateway::GatewayResponse', {
      ResponseType: 'THROTTLED',
      ResponseParameters: { 'gatewayresponse.header.Retry-After': "'5'" },
    });
    collector!.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: `millrace-${env}-collector`,
      ReservedConcurrentExecutions: settings.maxConcurrency ?? Match.absent(),
      Environment: {
        Variables: { MILLRACE_ALLOWED_ORIGINS: JSON.stringify(settings.allowedOrigins) },
      },
    });
  });

  test('opens two methods of one path to the internet, by TLS 1.2 or newer', () => {
    const methods = Object.values(collector!.findResources('AWS::ApiGateway::Method'));
    expect(methods.map(({ Properties }) => Properties.HttpMethod).toSorted()).toEqual(['OPTIONS', 'POST']);
    const parts = Object.values(collector!.findResources('AWS::ApiGateway::Resource'));
    expect(parts.map(({ Properties }) => Properties.PathPart).toSorted()).toEqual(['events', '{topic}']);
    collector!.hasResourceProperties('AWS::ApiGateway::RestApi', {
      EndpointConfiguration: { Types: ['REGIONAL'] },
      SecurityPolicy: Match.stringLikeRegexp('^SecurityPolicy_TLS13_1_2_'),
      EndpointAccessMode: 'STRICT',
    });
  });

  test('logs who wanted what without who: no address, no browser', () => {
    const [stage, ...others] = Object.values(collector!.findResources('AWS::ApiGateway::Stage'));
    expect(others).toEqual([]);
    const format = JSON.parse(stage!.Properties.AccessLogSetting.Format) as Record<string, string>;
    expect(Object.values(format)).toContain('$context.status');
    expect(JSON.stringify(format)).not.toMatch(/sourceIp|userAgent|identity|[Ff]orwarded/);
    collector!.allResourcesProperties('AWS::Logs::LogGroup', { KmsKeyId: Match.anyValue() });
  });

  test('leaves behind what it writes logs as: other APIs of the account do, too', () => {
    for (const type of ['AWS::ApiGateway::Account', 'AWS::IAM::Role']) {
      collector!.hasResource(type, { DeletionPolicy: 'Retain' });
    }
  });

  test('lets a page read what API Gateway itself answers', () => {
    for (const ResponseType of ['DEFAULT_4XX', 'DEFAULT_5XX', 'THROTTLED']) {
      collector!.hasResourceProperties('AWS::ApiGateway::GatewayResponse', {
        ResponseType,
        ResponseParameters: Match.objectLike({
          'gatewayresponse.header.Access-Control-Allow-Origin': "'*'",
          'gatewayresponse.header.Access-Control-Expose-Headers': "'Retry-After'",
        }),
      });
    }
  });

  test('has a web ACL where its settings name one', () => {
    collector!.resourceCountIs('AWS::WAFv2::WebACLAssociation', 0);
    const guarded = templatesOf(env, { settings: { collector: { ...settings, webAclArn } } });
    guarded.collector!.hasResourceProperties('AWS::WAFv2::WebACLAssociation', {
      WebACLArn: webAclArn,
      ResourceArn: Match.objectLike({ 'Fn::Join': Match.anyValue() }),
    });
  });
});

test('there is none where there is nothing to collect', () => {
  expect(Object.keys(templatesOf('dev', { contracts: [], consumers: [] }))).not.toContain('collector');
});

test('there is none where the settings have none, and the network has no door for it', () => {
  const { collector: _, ...settings } = newsdesk.environments.dev!;
  const bare = templatesOf('dev', { settings: { ...settings, collector: undefined } as never });
  expect(Object.keys(bare)).not.toContain('collector');
  expect(JSON.stringify(bare.network!.toJSON())).not.toContain('Collector');
});

test('a topic of another framing is refused: its records would have schema ids that are not of Glue', () => {
  const contracts = [{ ...pageviews, framing: 'confluent' as const }];
  expect(() => templatesOf('dev', { contracts, consumers: [] })).toThrow(
    expect.objectContaining({
      code: 'CONTRACT_INVALID',
      message: expect.stringMatching(/"news\.pageviews": framing is "confluent"; .* takes "glue"/),
    }),
  );
});

/** Walks every statement of every policy, in every environment: a wildcard is an exception with a reason, or a mistake. */
import { describe, expect, test } from '@jest/globals';
import { ENVIRONMENT_NAMES, type Resource, resourcesOf, templatesOf } from './synthesized.ts';

/** Every wildcard that may be, by action, with the resource it may stand in and why nothing narrower will do. */
const ALLOWED: readonly { readonly action: RegExp; readonly resource: string; readonly because: string }[] = [
  {
    action:
      /^ec2:(Create|Delete)NetworkInterface$|^ec2:Describe(NetworkInterfaces|SecurityGroups|Subnets|Vpcs)$|^ec2:(Una|A)ssignPrivateIpAddresses$/,
    resource: '*',
    because:
      "EC2 names no resource before an interface is made, nor for what only describes; Lambda's own policy says the same",
  },
  {
    action: /^glue:GetSchemaVersion$/,
    resource: '*',
    because: 'asked by the id in a record alone, Glue checks no narrower resource',
  },
  {
    action: /^s3:PutObject$/,
    resource: '<bucket>/aws/lambda/*',
    because: "an object's path holds the id of a mapping that is made later, and the hour",
  },
  {
    action: /^lambda:InvokeFunction$/,
    resource: '<function>:*',
    because: "the CDK's trigger invokes the version of the function that is being deployed",
  },
];

/** In these, a wildcard is what limits: a key's own policy means the key, a Deny is the wider the better. */
const KEY_POLICY = 'AWS::KMS::Key';

/** An endpoint's policy draws a line round the account, and leaves it to roles what their holders may do. */
const ENDPOINT_POLICY = 'AWS::EC2::VPCEndpoint';
const THIS_ACCOUNT = { Ref: 'AWS::AccountId' };

interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action?: string | string[];
  readonly NotAction?: unknown;
  readonly Resource?: unknown;
  readonly NotResource?: unknown;
  readonly Principal?: unknown;
  readonly Condition?: { readonly StringEquals?: Readonly<Record<string, unknown>> };
}

const asList = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

/** The statements anywhere in a resource's properties: inline, attached, resource and key policies alike. */
function statementsIn(value: unknown): readonly Statement[] {
  if (Array.isArray(value)) return value.flatMap(statementsIn);
  if (typeof value !== 'object' || value === null) return [];
  const { Statement: own } = value as { Statement?: Statement | Statement[] };
  return [...asList(own), ...Object.values(value).flatMap(statementsIn)];
}

/** A resource as text, with what it refers to named for what it is. */
function textOf(resource: unknown, { id, Type }: Resource & { id: string }): string {
  if (typeof resource === 'string') return resource;
  const text = JSON.stringify(resource);
  if (!text.includes('*')) return text;
  const [, , parts] = /^\{"Fn::Join":\["(.*?)",(\[.*\])\]\}$/.exec(text) ?? [];
  if (!parts) throw new Error(`${id} (${Type}) has a resource that this test cannot read: ${text}`);
  return (JSON.parse(parts) as unknown[])
    .map((part) => {
      if (typeof part === 'string') return part;
      const of = JSON.stringify(part);
      return of.includes('GivenUp') ? '<bucket>' : /Function[0-9A-F]{8}/.test(of) ? '<function>' : of;
    })
    .join('');
}

function wildcardsIn(resources: readonly (Resource & { id: string })[]): readonly string[] {
  const found: string[] = [];
  for (const resource of resources) {
    for (const statement of statementsIn(resource.Properties)) {
      if (statement.Effect === 'Deny') continue;
      if (resource.Type === ENDPOINT_POLICY) {
        if (!staysInThisAccount(statement)) found.push(`${resource.id}: any account`);
        continue;
      }
      const targets = asList(statement.Resource).map((each) => textOf(each, resource));
      if (statement.NotAction || statement.NotResource)
        found.push(`${resource.id}: NotAction or NotResource`);
      if (JSON.stringify(statement.Principal ?? '').includes('"*"'))
        found.push(`${resource.id}: Principal *`);
      for (const action of asList(statement.Action)) {
        const isPublic = action.includes('*');
        const wide = targets.filter((target) => target.includes('*'));
        if (resource.Type === KEY_POLICY) {
          // The CDK's first statement gives the key to the account, whose IAM policies then say who may do what.
          if (isPublic && action !== 'kms:*') found.push(`${resource.id}: ${action}`);
          continue;
        }
        if (isPublic) found.push(`${resource.id}: ${action}`);
        for (const target of wide) {
          const isAllowed = ALLOWED.some((each) => each.action.test(action) && each.resource === target);
          if (!isAllowed) found.push(`${resource.id}: ${action} on ${target}`);
        }
      }
    }
  }
  return found;
}

function staysInThisAccount({ Condition }: Statement): boolean {
  const { StringEquals = {} } = Condition ?? {};
  return ['aws:PrincipalAccount', 'aws:ResourceAccount'].some(
    (key) => JSON.stringify(StringEquals[key]) === JSON.stringify(THIS_ACCOUNT),
  );
}

const withStatement = (statement: Statement, Type = 'AWS::IAM::Policy') => [
  { id: 'x', Type, Properties: { PolicyDocument: { Statement: [statement] } } },
];

describe('no wildcard that is not on the list', () => {
  test.each(ENVIRONMENT_NAMES)('in %s', (env) => {
    const resources = resourcesOf(templatesOf(env));
    // Enough to know that the walk finds them.
    expect(resources.flatMap(({ Properties }) => statementsIn(Properties)).length).toBeGreaterThan(30);
    expect(wildcardsIn(resources)).toEqual([]);
  });

  test('only the trigger that the CDK makes has a managed policy', () => {
    const withManaged = resourcesOf(templatesOf('prod')).filter(
      ({ Type, Properties }) => Type === 'AWS::IAM::Role' && Properties.ManagedPolicyArns,
    );
    expect(withManaged.map(({ id }) => id)).toEqual([expect.stringMatching(/^migrations\/AWSCDKTrigger/)]);
  });

  test.each<[string, Statement]>([
    ['an action', { Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::b' }],
    ['a resource', { Effect: 'Allow', Action: ['sqs:SendMessage'], Resource: ['*'] }],
    [
      'a part of a resource',
      { Effect: 'Allow', Action: 's3:PutObject', Resource: { 'Fn::Join': ['', [{ Ref: 'Other' }, '/*']] } },
    ],
    [
      'whoever',
      { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: 'arn:aws:sqs:::q', Principal: { AWS: '*' } },
    ],
    ['all but one', { Effect: 'Allow', NotAction: 'iam:PassRole', Resource: 'arn:aws:sqs:::q' }],
  ])('the walk would find %s', (_, statement) => {
    expect(wildcardsIn(withStatement(statement))).toHaveLength(1);
  });

  test('the walk would find an endpoint that lets any account through', () => {
    const open: Statement = { Effect: 'Allow', Action: 'sqs:*', Resource: '*', Principal: { AWS: '*' } };
    expect(wildcardsIn(withStatement(open, ENDPOINT_POLICY))).toHaveLength(1);
  });
});

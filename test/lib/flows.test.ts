/** Who may talk to whom: every rule of every security group, and no other. */
import { expect, test } from '@jest/globals';
import { captured } from '../fixtures/newsdesk/captured.ts';
import { type Resource, resourcesOf, type SynthesisOptions, templatesOf } from './synthesized.ts';
import { CAPTURE } from './variants.ts';

const GROUP = 'AWS::EC2::SecurityGroup';
/** The CDK's way to write "nothing". */
const NOWHERE = '255.255.255.255/32';

/** Each rule once from where it leaves and once where it enters: `out brokers → endpoints 443`. */
function rulesIn(env: string, options: SynthesisOptions = {}): readonly string[] {
  const resources = resourcesOf(templatesOf(env, options));
  // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
  const nameOf = (group: any): string =>
    typeof group === 'string' ? group : group['Fn::GetAtt'][0].replace(/[0-9A-F]{8}$/, '').toLowerCase();
  const ruleOf = (direction: 'in' | 'out', own: string, rule: Resource['Properties']): readonly string[] => {
    const peer = rule.SourceSecurityGroupId ?? rule.DestinationSecurityGroupId;
    if (rule.CidrIp === NOWHERE) return [];
    const other = peer ? nameOf(peer) : rule.CidrIp;
    const ports = rule.FromPort === rule.ToPort ? rule.FromPort : `${rule.FromPort}-${rule.ToPort}`;
    expect(rule.IpProtocol).toBe('tcp');
    return [direction === 'in' ? `in ${other} → ${own} ${ports}` : `out ${own} → ${other} ${ports}`];
  };
  return resources.flatMap(({ id, Type, Properties }) => {
    if (Type === `${GROUP}Ingress`) return ruleOf('in', nameOf(Properties.GroupId), Properties);
    if (Type === `${GROUP}Egress`) return ruleOf('out', nameOf(Properties.GroupId), Properties);
    if (Type !== GROUP) return [];
    const own = nameOf({ 'Fn::GetAtt': [id.split('/')[1]] });
    const { SecurityGroupIngress: ingress = [], SecurityGroupEgress: egress = [] } = Properties;
    return [
      ...ingress.flatMap((rule: Resource['Properties']) => ruleOf('in', own, rule)),
      ...egress.flatMap((rule: Resource['Properties']) => ruleOf('out', own, rule)),
    ];
  });
}

type Flow = readonly [from: string, to: string, port: number];
const ANYWHERE = '0.0.0.0/0';

/** A flow between two groups is a rule of each; one to a group that is not ours, or to none, leaves only. */
const both = (flows: readonly Flow[]) =>
  flows.flatMap(([from, to, port]) => [
    `out ${from} → ${to} ${port}`,
    ...(to === ANYWHERE ? [] : [`in ${from} → ${to} ${port}`]),
  ]);

const ALWAYS: readonly Flow[] = [
  ['brokers', 'brokers', 9098],
  ['brokers', ANYWHERE, 443],
  ['functions', 'brokers', 9098],
  ['functions', ANYWHERE, 443],
  ['migrations', 'database', 5432],
  ['collector', 'brokers', 9098],
];
const OWN_NETWORK: readonly Flow[] = [
  ['functions', 'endpoints', 443],
  ['collector', 'endpoints', 443],
];
const PROXY: readonly Flow[] = [
  ['functions', 'proxy', 5432],
  ['proxy', 'database', 5432],
];

const ids = (digit: string) => [1, 2, 3].map((zone) => `subnet-${digit}${zone}`);
const brokers = {
  type: 'existing',
  clusterArn: 'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59-2',
  securityGroupId: 'sg-0a1b2c3d',
} as const;
const network = {
  type: 'existing',
  vpcId: 'vpc-0a1b2c3d',
  subnetIds: { brokers: ids('a'), functions: ids('b'), databases: ids('c') },
} as const;

test.each<[string, string, SynthesisOptions, readonly Flow[]]>([
  ['prod', 'prod', {}, [...ALWAYS, ...OWN_NETWORK, ...PROXY]],
  ['staging', 'staging', {}, [...ALWAYS, ...OWN_NETWORK, ...PROXY]],
  [
    'dev, with on-demand pollers and without a proxy',
    'dev',
    {},
    [...ALWAYS, ...OWN_NETWORK, ['brokers', 'endpoints', 443], ['functions', 'database', 5432]],
  ],
  [
    "somebody else's network",
    'prod',
    { settings: { network } },
    [...ALWAYS, ...PROXY, ['collector', ANYWHERE, 443]],
  ],
  [
    // Whether it lets itself in, and what it may leave to, is its owner's.
    "somebody else's network and cluster",
    'prod',
    { settings: { network, brokers } },
    [
      ['functions', 'sg-0a1b2c3d', 9098],
      ['collector', 'sg-0a1b2c3d', 9098],
      ['functions', ANYWHERE, 443],
      ['collector', ANYWHERE, 443],
      ['migrations', 'database', 5432],
      ...PROXY,
    ],
  ],
  [
    'prod, with a captured database of somebody else',
    'prod',
    { consumers: captured.consumers, tables: captured.tables!, settings: { capture: CAPTURE } },
    [
      ...ALWAYS,
      ...OWN_NETWORK,
      ...PROXY,
      ['connectorcms', 'brokers', 9098],
      ['connectorcms', 'sg-0c0ffee0', 5432],
    ],
  ],
  [
    // At the writer: the proxy carries no replication.
    'prod, with its own database captured',
    'prod',
    {
      consumers: captured.consumers,
      tables: captured.tables!,
      settings: {
        capture: { ...CAPTURE, databases: { cms: { type: 'own', user: 'capture' } } },
      },
    },
    [
      ...ALWAYS,
      ...OWN_NETWORK,
      ...PROXY,
      ['connectorcms', 'brokers', 9098],
      ['connectorcms', 'database', 5432],
    ],
  ],
])('%s has these flows and no others', (_, env, options, flows) => {
  expect(rulesIn(env, options).toSorted()).toEqual(both(flows).toSorted());
});

test.each([
  ['ours', 'brokers', {}],
  ["somebody else's", 'sg-0a1b2c3d', { network, brokers }],
])('producers are let in to the brokers, %s, and to nothing else', (_, group, settings) => {
  const producers = { securityGroupIds: ['sg-11111111', 'sg-22222222'], cidrs: ['10.1.0.0/16'] };
  const before = rulesIn('prod', { settings });
  const added = rulesIn('prod', { settings: { ...settings, producers } }).filter(
    (rule) => !before.includes(rule),
  );
  expect(added.toSorted()).toEqual(
    ['10.1.0.0/16', 'sg-11111111', 'sg-22222222'].map((peer) => `in ${peer} → ${group} 9098`),
  );
});

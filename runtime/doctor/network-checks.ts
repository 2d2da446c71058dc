/** Whether pollers and functions can reach what they need, by security groups and endpoints. Pure. */
import { deployedName, PORTS } from '../deployment.ts';
import type { Environment } from '../environment.ts';
import { revertCommand } from './commands.ts';
import { type Line, linesOf, type Observed } from './line.ts';
import type { EndpointFacts, GroupRule, SecurityGroupFacts } from './reader.ts';

const HTTPS = 443;

/** `maybe`: a rule names addresses, and whose they are we do not know. */
type Reach = 'yes' | 'no' | 'maybe';

/** A part of the network: its security groups. */
export interface Side {
  readonly name: string;
  readonly groupIds: readonly string[];
}

export interface NetworkFacts {
  readonly groups: Observed<readonly SecurityGroupFacts[]>;
  readonly endpoints: Observed<readonly EndpointFacts[]>;
}

/**
 * Whether one side may open a connection to the other: `IpPermissionsEgress` of one and `IpPermissions` of the other,
 * each with its `UserIdGroupPairs` or `IpRanges`:
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html (2026-11-26)
 */
export function reach(
  groups: readonly SecurityGroupFacts[],
  from: readonly string[],
  to: readonly string[],
  port: number,
): Reach {
  const rulesOf = (ids: readonly string[], way: 'ingress' | 'egress') =>
    groups.filter(({ id }) => ids.includes(id)).flatMap((group) => group[way]);
  const ways = [allowed(rulesOf(from, 'egress'), to, port), allowed(rulesOf(to, 'ingress'), from, port)];
  if (ways.includes('no')) return 'no';
  return ways.includes('maybe') ? 'maybe' : 'yes';
}

function allowed(rules: readonly GroupRule[], others: readonly string[], port: number): Reach {
  // -1 is every protocol, and then rules name no ports.
  const fitting = rules.filter(
    ({ protocol, fromPort, toPort }) =>
      protocol === '-1' || (protocol === 'tcp' && (fromPort ?? port) <= port && port <= (toPort ?? port)),
  );
  if (fitting.some(({ groups }) => groups.some((id) => others.includes(id)))) return 'yes';
  const ranges = fitting.flatMap((rule) => rule.ranges);
  if (ranges.includes('0.0.0.0/0')) return 'yes';
  return ranges.length > 0 ? 'maybe' : 'no';
}

/**
 * Lambda puts a mapping's pollers into the cluster's subnets and security groups; on-demand ones call Lambda and STS from
 * there: https://docs.aws.amazon.com/lambda/latest/dg/with-msk-cluster-network.html (2026-11-26)
 */
export function judgePollerPaths(
  environment: Environment,
  brokers: Side,
  facts: NetworkFacts,
): readonly Line[] {
  const services = environment.polling.mode === 'on-demand' ? ['lambda', 'sts'] : [];
  return [
    judgeFlow(`${brokers.name} → brokers`, brokers.groupIds, brokers.groupIds, PORTS.brokers, facts.groups),
    ...services.map((service) => judgeEndpoint(environment, brokers, service, facts)),
  ];
}

/** Schemas come from Glue, letters go to SQS and S3, effects into the database. */
export function judgeFunctionPaths(
  environment: Environment,
  functions: Side,
  services: readonly string[],
  facts: NetworkFacts,
): readonly Line[] {
  return services.map((service) => judgeEndpoint(environment, functions, service, facts));
}

/** The database's group is the one that the function's own rule for the port leads to. */
export function judgeDatabasePath(env: string, functions: Side, seen: NetworkFacts['groups']): Line {
  const lines = linesOf('network', `${functions.name} → database`);
  if ('problem' in seen) return lines.unseen(seen.problem);
  const own = seen.value.filter(({ id }) => functions.groupIds.includes(id)).flatMap(({ egress }) => egress);
  const targets = own
    .filter(({ fromPort, toPort }) => fromPort === PORTS.database && toPort === PORTS.database)
    .flatMap(({ groups }) => groups);
  if (targets.length === 0) {
    return lines.fail(
      `No rule of ${functions.groupIds.join(', ')} leads to port ${PORTS.database}.`,
      revertCommand(env, deployedName(env, 'network')),
    );
  }
  return judgeFlow(`${functions.name} → database`, functions.groupIds, targets, PORTS.database, seen);
}

function judgeFlow(
  subject: string,
  from: readonly string[],
  to: readonly string[],
  port: number,
  seen: NetworkFacts['groups'],
): Line {
  const lines = linesOf('network', subject);
  if ('problem' in seen) return lines.unseen(seen.problem);
  const unseen = [...from, ...to].filter((id) => seen.value.every((group) => group.id !== id));
  if (unseen.length > 0) {
    return lines.unknown(
      `EC2 does not show ${[...new Set(unseen)].join(', ')}.`,
      'Look at the security groups in the console.',
    );
  }
  const permission = (group = '') =>
    `--ip-permissions 'IpProtocol=tcp,FromPort=${port},ToPort=${port},UserIdGroupPairs=[{GroupId=${group}}]'`;
  const way = `${from.join(', ')} to ${to.join(', ')} on ${port}`;
  switch (reach(seen.value, from, to, port)) {
    case 'yes':
      return lines.pass(`Rules let ${way}.`);
    case 'no':
      return lines.fail(
        `No rule lets ${way}.`,
        // One of the two may be there already: EC2 then refuses it, and the other is made all the same.
        `aws ec2 authorize-security-group-ingress --group-id ${to[0]} ${permission(from[0])}; aws ec2 authorize-security-group-egress --group-id ${from[0]} ${permission(to[0])}`,
      );
    case 'maybe':
      return lines.unknown(`Rules for ${way} name addresses, not groups.`, 'Compare them with the subnets.');
  }
}

/** `ServiceName`, `State`, `Groups`: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpcEndpoint.html (2026-11-26) */
function judgeEndpoint(
  { name: env, network }: Environment,
  from: Side,
  service: string,
  { groups, endpoints }: NetworkFacts,
): Line {
  const lines = linesOf('network', `${from.name} → ${service}`);
  if ('problem' in endpoints) return lines.unseen(endpoints.problem);
  const endpoint = endpoints.value.find((each) => each.service.endsWith(`.${service}`));
  if (!endpoint) {
    return network.type === 'existing'
      ? lines.unknown('The VPC has no endpoint for it; a NAT may lead there.', 'Ask who runs the network.')
      : lines.fail('The VPC has no endpoint for it.', revertCommand(env, deployedName(env, 'network')));
  }
  // The page writes it with a capital; the API does not.
  if (endpoint.state.toLowerCase() !== 'available') {
    return lines.fail(
      `The endpoint's State is ${endpoint.state}.`,
      revertCommand(env, deployedName(env, 'network')),
    );
  }
  // A gateway is a route, and has no security group.
  if (endpoint.type === 'Gateway') return lines.pass('A gateway endpoint is available.');
  return judgeFlow(`${from.name} → ${service}`, from.groupIds, endpoint.securityGroupIds, HTTPS, groups);
}

import { archiveOf } from '../archive/archive.ts';
import { HEARTBEAT_MS } from '../capture/connector.ts';
import { type CapturedTable, capturedTables } from '../capture/table.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { Check } from '../environment-check.ts';

/** The warehouse that an environment loads, and what loads it. */
export interface WarehouseSettings {
  readonly snowflake: SnowflakeSettings;
  /** Runs `millrace warehouse run` in a loop. `false`: Airflow, Dagster, dbt Cloud or somebody else does (docs/capture-on-aws.md). */
  readonly runner: false | RunnerSettings;
}

export interface SnowflakeSettings {
  /** As in `https://<account>.snowflakecomputing.com`. */
  readonly account: string;
  /** Whom the runner logs in as, with the private key in Secrets Manager. */
  readonly user: string;
  /** @default MILLRACE, each */
  readonly role?: string;
  readonly warehouse?: string;
  readonly database?: string;
  /**
   * Who reads the archive: what `DESC INTEGRATION` shows as STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID. It is known
   * once the integration is made, which names the role that the first deployment makes. @default the role trusts nobody
   */
  readonly integration?: { readonly userArn: string; readonly externalId: string };
}

export interface RunnerSettings {
  /** A run begins so many seconds after the last one began, or when that has ended. 30 to 3,600. @default 60 */
  readonly everySeconds?: number;
  /** How long a run may take, for the sum of all waits. 10 to 3,600. @default 60 */
  readonly runSeconds?: number;
  /** An image that is built already, by its address. @default built where you deploy, which takes Docker */
  readonly image?: string;
  /**
   * Subnets with a way out to Snowflake, by a NAT or by PrivateLink, and to ECR, CloudWatch Logs and Secrets Manager.
   * @default a network of its own with public addresses, which lets nobody in, and reaches nothing of the environment's
   */
  readonly network?: {
    readonly vpcId: string;
    readonly subnetIds: readonly string[];
    readonly securityGroupId: string;
  };
}

export const RUNNER_DEFAULTS = { everySeconds: 60, runSeconds: 60 } as const;

/** What a change may take from the database to the mart. */
const FRESH_MS = 300_000;

const ACCOUNT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;
const NAME = /^[A-Za-z_][\w$.@-]{0,254}$/;
const USER_ARN = /^arn:aws:iam::\d{12}:user\/[\w+=,.@/-]+$/;
/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html (2026-11-27) */
const EXTERNAL_ID = /^[\w+=,.@:/-]{2,1224}$/;

export function checkWarehouse({ snowflake, runner }: WarehouseSettings, check: Check): void {
  const { account, user, integration, ...names } = snowflake;
  check(
    'warehouse.snowflake.account',
    account,
    ACCOUNT.test(account),
    'the identifier of an account, such as ORG-ACCOUNT',
  );
  for (const [field, name] of Object.entries({ user, ...names })) {
    check(`warehouse.snowflake.${field}`, name, name === undefined || NAME.test(name), 'a name in Snowflake');
  }
  if (integration) {
    const { userArn, externalId } = integration;
    check(
      'warehouse.snowflake.integration.userArn',
      userArn,
      USER_ARN.test(userArn),
      'STORAGE_AWS_IAM_USER_ARN of DESC INTEGRATION',
    );
    check(
      'warehouse.snowflake.integration.externalId',
      externalId,
      EXTERNAL_ID.test(externalId),
      'STORAGE_AWS_EXTERNAL_ID of DESC INTEGRATION',
    );
  }
  if (!runner) return;
  const { everySeconds, runSeconds } = { ...RUNNER_DEFAULTS, ...runner };
  const checkWhole = (field: string, got: number, from: number, to: number) =>
    check(
      `warehouse.runner.${field}`,
      got,
      Number.isInteger(got) && got >= from && got <= to,
      `a whole number from ${from} to ${to}`,
    );
  checkWhole('everySeconds', everySeconds, 30, 3_600);
  checkWhole('runSeconds', runSeconds, 10, 3_600);
  const { network } = runner;
  if (!network) return;
  const { vpcId, subnetIds, securityGroupId } = network;
  check('warehouse.runner.network.vpcId', vpcId, /^vpc-[0-9a-f]+$/.test(vpcId), 'the id of a VPC, vpc-…');
  check(
    'warehouse.runner.network.subnetIds',
    subnetIds,
    subnetIds.length > 0 && subnetIds.every((id) => /^subnet-[0-9a-f]+$/.test(id)),
    'ids of subnets, subnet-…',
  );
  check(
    'warehouse.runner.network.securityGroupId',
    securityGroupId,
    /^sg-[0-9a-f]+$/.test(securityGroupId),
    'the id of a security group, sg-…, that lets port 443 out',
  );
}

/** Each wait of a change on its way to the mart, at its longest. */
export interface Waits {
  readonly table: string;
  readonly parts: readonly { readonly what: string; readonly ms: number }[];
  readonly totalMs: number;
}

/**
 * The tables of which a change may take five minutes or more to the mart. A run sees what was there when it began, so a
 * change waits for the next one to begin, and then for that to end.
 */
export function staleTables(
  { runner }: WarehouseSettings,
  tables: readonly CapturedTable[],
  consumers: readonly AnyConsumer[],
): readonly Waits[] {
  if (!runner) return [];
  const { everySeconds, runSeconds } = { ...RUNNER_DEFAULTS, ...runner };
  return capturedTables(tables)
    .map(({ topic }) => {
      const archive = archiveOf(topic.name, consumers);
      const parts = [
        { what: 'capture', ms: HEARTBEAT_MS },
        { what: 'window of the archive (windowMs)', ms: archive?.batch.windowMs ?? 0 },
        { what: 'until the next run (everySeconds)', ms: Math.max(everySeconds, runSeconds) * 1_000 },
        { what: 'run (runSeconds)', ms: runSeconds * 1_000 },
      ];
      return { table: topic.name, parts, totalMs: parts.reduce((total, { ms }) => total + ms, 0) };
    })
    .filter(({ totalMs }) => totalMs >= FRESH_MS);
}

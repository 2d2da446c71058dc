import type { Check } from '../environment-check.ts';
import { PLUGIN_VERSION } from './plugin.ts';

/** What an environment captures, and where it is. */
export interface CaptureSettings {
  /**
   * By a database's name, as `defineDatabase` has it. A database that is not listed is not captured here: it has no
   * connector, and the environment has neither topics nor archives of its tables.
   */
  readonly databases: Readonly<Record<string, SourceSettings>>;
  /**
   * The connector version that is deployed, as synth names it. A Millrace that brings another one is refused until you take
   * it in two deployments, which keep offsets and slots: docs/capture-on-aws.md.
   */
  readonly plugin: string;
}

interface CommonSettings {
  /** Whom the connector logs in as, with a token of IAM in place of a password: `millrace capture sql` makes the role. */
  readonly user: string;
  /**
   * `false` takes the connector away and keeps its offsets, its slot and its topics. It is the first of the two
   * deployments that a new connector version takes (docs/capture-on-aws.md). The log of the database grows meanwhile.
   * @default true
   */
  readonly connector?: boolean;
  /** What the slot may keep of the database's log before an alarm goes off, in GiB. @default 5, and 20 for an incident */
  readonly retainedLogGiB?: { readonly warning?: number; readonly incident?: number };
}

/** A database that somebody else runs, on RDS or Aurora, and that the environment's network reaches. */
export interface ExistingSource extends CommonSettings {
  readonly type: 'existing';
  /** Of the writer: neither a proxy nor a replica can carry replication. */
  readonly host: string;
  /** @default 5432 */
  readonly port?: number;
  /** What the database is called on its server. */
  readonly database: string;
  /** One of the database's security groups. The connector is let in to it. */
  readonly securityGroupId: string;
  /** AWS's own id, `cluster-…` for Aurora and `db-…` for RDS: the right to log in names it. */
  readonly resourceId: string;
  /** What CloudWatch calls it. */
  readonly identifier: string;
}

/** The environment's own Aurora, to which its consumers write. */
export interface OwnSource extends CommonSettings {
  readonly type: 'own';
}

export type SourceSettings = ExistingSource | OwnSource;

export const RETAINED_LOG_GIB = { warning: 5, incident: 20 } as const;

// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html (2026-11-27)
const RESOURCE_ID = /^(cluster|db)-[A-Z0-9]{20,32}$/;
const IDENTIFIER = /^[a-z](?:-?[a-z0-9]){0,62}$/;
const HOST = /^(?=.{1,253}$)[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i;
/** A replica's endpoint, a custom one, or a proxy's: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Overview.Endpoints.html (2026-11-27) */
const NO_WRITER = /\.(cluster-ro|cluster-custom|proxy)-/;
const NAME = /^[A-Za-z_][\w$-]{0,62}$/;
const SECURITY_GROUP = /^sg-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;

/** @param minCapacity of the environment's own database */
export function checkCapture(
  { databases, plugin }: CaptureSettings,
  { minCapacity }: { readonly minCapacity: number },
  check: Check,
): void {
  const running = Object.entries(databases).filter(([, { connector = true }]) => connector);
  check(
    'capture.plugin',
    plugin,
    plugin === PLUGIN_VERSION || (typeof plugin === 'string' && running.length === 0),
    `"${PLUGIN_VERSION}", which this Millrace brings. If a connector runs with another version, CloudFormation cannot replace it: first ` +
      `deploy with connector: false for ${running.map(([name]) => name).join(' and ')}, then with the new plugin and without connector: false`,
  );
  for (const [name, source] of Object.entries(databases)) {
    const field = (of: string) => `capture.databases.${name}.${of}`;
    check(field('user'), source.user, NAME.test(source.user), 'the name of a role of the database');
    const { warning, incident } = { ...RETAINED_LOG_GIB, ...source.retainedLogGiB };
    check(
      field('retainedLogGiB'),
      source.retainedLogGiB,
      warning > 0 && warning <= incident && Number.isFinite(incident),
      'GiB above 0, the warning no more than the incident',
    );
    if (source.type === 'own') {
      check(
        'database.minCapacity',
        minCapacity,
        minCapacity > 0,
        `at least 0.5, because ${name} is captured from it: a database with logical replication never pauses`,
      );
      continue;
    }
    const { host, port = 5432, database, securityGroupId, resourceId, identifier } = source;
    check(
      field('host'),
      host,
      HOST.test(host) && !NO_WRITER.test(host),
      "the name of the writer's endpoint: a reader, a custom endpoint and a proxy cannot carry replication",
    );
    check(field('port'), port, Number.isInteger(port) && port > 0 && port < 65_536, 'a port');
    check(field('database'), database, NAME.test(database), 'the name of a database on that server');
    check(
      field('securityGroupId'),
      securityGroupId,
      SECURITY_GROUP.test(securityGroupId),
      "the id of one of the database's security groups, sg-…, so that the connector can be let in",
    );
    check(
      field('resourceId'),
      resourceId,
      RESOURCE_ID.test(resourceId),
      'the resource id, cluster-… or db-…: "aws rds describe-db-clusters" shows it as DbClusterResourceId',
    );
    check(
      field('identifier'),
      identifier,
      IDENTIFIER.test(identifier),
      'the identifier of the cluster or the instance',
    );
  }
}

export function isAurora({ resourceId }: Pick<ExistingSource, 'resourceId'>): boolean {
  return resourceId.startsWith('cluster-');
}

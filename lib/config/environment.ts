import { MillraceError } from '../../runtime/errors.ts';

/** What differs between environments, and nothing else: one look shows what production has that dev has not. */
export interface EnvironmentSettings {
  /**
   * `standard`: brokers with disks of their own, whose replication we set. `express`: MSK manages disks and
   * replication. A cluster cannot change from one to the other.
   */
  readonly brokers:
    | { readonly type: 'standard'; readonly instanceType: string; readonly storageGiB: number }
    | { readonly type: 'express'; readonly instanceType: string };
  /** MSK's level of broker metrics; those beyond `DEFAULT` are billed. */
  readonly monitoring: 'DEFAULT' | 'PER_BROKER';
  /** Keeps what holds data when its stack is deleted: cluster, topics, schemas, keys. */
  readonly retainsData: boolean;
  readonly logRetentionDays: 7 | 30 | 365;
}

export interface Environment extends EnvironmentSettings {
  readonly name: string;
  /** Undefined: wherever the deploying credentials lead. */
  readonly account: string | undefined;
  readonly region: string | undefined;
}

export const ENVIRONMENTS: Readonly<Record<string, EnvironmentSettings>> = {
  dev: {
    brokers: { type: 'standard', instanceType: 'kafka.t3.small', storageGiB: 50 },
    monitoring: 'DEFAULT',
    retainsData: false,
    logRetentionDays: 7,
  },
  staging: {
    brokers: { type: 'express', instanceType: 'express.m7g.large' },
    monitoring: 'DEFAULT',
    retainsData: false,
    logRetentionDays: 30,
  },
  prod: {
    brokers: { type: 'express', instanceType: 'express.m7g.large' },
    monitoring: 'PER_BROKER',
    retainsData: true,
    logRetentionDays: 365,
  },
};

/** What the person who deploys says: context values (`-c env=dev`), then the variables that the CDK sets. */
export interface DeployRequest {
  readonly env?: unknown;
  readonly account?: unknown;
  readonly region?: unknown;
}

const ACCOUNT = /^\d{12}$/;
const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

/**
 * The environment that is asked for. Needs no account and no network.
 * @throws ENVIRONMENT_INVALID naming the field, what it got and what it takes
 */
export function resolveEnvironment({ env, account, region }: DeployRequest): Environment {
  const settings =
    typeof env === 'string' && Object.hasOwn(ENVIRONMENTS, env) ? ENVIRONMENTS[env] : undefined;
  if (!settings) refuse('env', env, `one of ${Object.keys(ENVIRONMENTS).join(', ')}`, '-c env=dev');
  return {
    ...settings,
    name: env as string,
    account: optional('account', account, ACCOUNT, 'twelve digits', '-c account=123456789012'),
    region: optional('region', region, REGION, "a region's name", '-c region=eu-west-1'),
  };
}

function optional(
  field: string,
  got: unknown,
  pattern: RegExp,
  allowed: string,
  example: string,
): string | undefined {
  if (got === undefined) return undefined;
  // The CDK's context gives `-c account=…` as text; a number would have lost its leading zeros.
  if (typeof got !== 'string' || !pattern.test(got)) refuse(field, got, allowed, example);
  return got;
}

function refuse(field: string, got: unknown, allowed: string, example: string): never {
  const what = got === undefined ? 'is missing' : `is ${JSON.stringify(got)}`;
  throw new MillraceError(
    'ENVIRONMENT_INVALID',
    `Environment: ${field} ${what}; it takes ${allowed}. Pass it as "${example}".`,
    { details: { field } },
  );
}

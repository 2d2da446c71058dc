import { Fn, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { deployedName } from '../runtime/deployment.ts';
import { type Environment, ZONES } from '../runtime/environment.ts';

const RETENTION: Readonly<Record<Environment['logRetentionDays'], RetentionDays>> = {
  7: RetentionDays.ONE_WEEK,
  30: RetentionDays.ONE_MONTH,
  365: RetentionDays.ONE_YEAR,
};

/** A stack of one environment, named `millrace-<environment>-<part>`. */
export class EnvironmentStack extends Stack {
  readonly target: Environment;

  constructor(
    scope: Construct,
    part: string,
    environment: Environment,
    { description, holdsData }: { readonly description: string; readonly holdsData: boolean },
  ) {
    const { name, account, region, retainsData } = environment;
    super(scope, deployedName(name, part), {
      description,
      terminationProtection: holdsData && retainsData,
      tags: { 'millrace:environment': name },
      env: { ...(account ? { account } : {}), ...(region ? { region } : {}) },
    });
    this.target = environment;
  }

  /** Those of the settings, else three chosen when deployed: the CDK would ask the account at synth, which has to work without one. */
  override get availabilityZones(): string[] {
    const { network } = this.target;
    if (network.type === 'new' && network.zones) return [...network.zones];
    return Array.from({ length: ZONES }, (_, index) => Fn.select(index, Fn.getAzs()));
  }

  /** The name of something in this environment, the same in every deployment: `millrace-<environment>-<part>`. */
  nameOf(part: string): string {
    return deployedName(this.target.name, part);
  }

  /**
   * For what holds data, and what such things cannot do without. A first deployment that fails keeps nothing: what it had
   * made would be in the way of the second, under the same names.
   * https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html (2026-11-26)
   */
  get dataRemoval(): RemovalPolicy {
    return this.target.retainsData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
  }

  get logRetention(): RetentionDays {
    return RETENTION[this.target.logRetentionDays];
  }
}

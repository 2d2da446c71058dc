import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Annotations, ArnFormat, CfnParameter, CfnRule, Fn, Stack, Token } from 'aws-cdk-lib';
import type { SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { connectorConfiguration } from '../../runtime/capture/connector.ts';
import type { CapturedDatabase } from '../../runtime/capture/database.ts';
import { iamLogin, PLUGIN_FILE, PLUGIN_VERSION } from '../../runtime/capture/plugin.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { type ConnectorCluster, type ConnectorPlugin, MskConnector } from './msk-connector.ts';

export interface DebeziumConnectorProps {
  readonly database: CapturedDatabase;
  /** Those of the database, its heartbeat among them. */
  readonly tables: readonly CapturedTable[];
  readonly source: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
    /** AWS's own id, `cluster-…` or `db-…`. */
    readonly resourceId: string;
  };
  /** The same in every deployment: offsets go by it. */
  readonly connectorName: string;
  readonly cluster: ConnectorCluster;
  readonly subnetIds: readonly string[];
  readonly securityGroup: SecurityGroup;
  readonly logGroup: LogGroup;
  readonly isRunning: boolean;
  /** The folder of the app. */
  readonly appRoot: string;
}

const JSON_CONVERTER = 'org.apache.kafka.connect.json.JsonConverter';

/** In place of one that nobody built. There is none of this name, so nothing can run it. */
const NOT_BUILT = 'not-built/00000000-0000-0000-0000-000000000000-0';

/**
 * Debezium on MSK Connect, for one database: one worker of one MCU, because PostgreSQL gives a slot's changes to one reader.
 *
 * Its name, its topic of offsets, its slot and its topics' prefix follow from the database's name and epoch and from nothing
 * else, so that no change but that of the epoch can make it begin without offsets, and take another snapshot.
 */
export class DebeziumConnector extends Construct {
  readonly connectorName: string;

  constructor(scope: Construct, id: string, props: DebeziumConnectorProps) {
    super(scope, id);
    const { database, tables, source, connectorName } = props;
    const stack = Stack.of(this);
    this.connectorName = connectorName;
    const connector = new MskConnector(this, 'Connector', {
      connectorName,
      description: `Captures the changes of ${database.name}`,
      cluster: props.cluster,
      subnetIds: props.subnetIds,
      securityGroupIds: [props.securityGroup.securityGroupId],
      plugin: this.pluginOf(props),
      configuration: connectorConfiguration(database, tables, { ...source, login: iamLogin(stack.region) }),
      workerConfiguration: {
        'key.converter': JSON_CONVERTER,
        'key.converter.schemas.enable': 'false',
        'value.converter': JSON_CONVERTER,
        'value.converter.schemas.enable': 'false',
        // By the connector's name, so that one that is made again goes on where the last one stopped:
        // https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-set-offset-storage-topic.html (2026-11-27)
        'offset.storage.topic': `__amazon_msk_connect_offsets_${connectorName}`,
      },
      writes: tables.map(({ topic }) => topic.name),
      logGroup: props.logGroup,
      isRunning: props.isRunning,
    });
    // https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html (2026-11-27)
    connector.role.addToPolicy(
      new PolicyStatement({
        actions: ['rds-db:connect'],
        resources: [
          stack.formatArn({
            service: 'rds-db',
            resource: 'dbuser',
            resourceName: `${source.resourceId}/${source.user}`,
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ],
      }),
    );
  }

  /**
   * What `millrace capture plugin` has built. Nothing is fetched when templates are made: without it they name a plugin that
   * is not there, and CloudFormation refuses them before it changes anything.
   * @throws PREREQUISITE_MISSING where the account is known, because then somebody is about to deploy
   */
  private pluginOf({ appRoot, isRunning }: DebeziumConnectorProps): ConnectorPlugin {
    const path = join(appRoot, 'node_modules', '.cache', PLUGIN_FILE);
    // Two builds of the same sources are one plugin, even if their compilers wrote different bytes.
    if (existsSync(path)) return { path, hash: PLUGIN_VERSION };
    const stack = Stack.of(this);
    const problem = `The connector plugin ${PLUGIN_VERSION} is not built on this machine. Run "npx millrace capture plugin", then deploy.`;
    if (isRunning && !Token.isUnresolved(stack.account)) {
      throw new MillraceError('PREREQUISITE_MISSING', problem, { details: { file: path } });
    }
    Annotations.of(this).addWarningV2('millrace:plugin-not-built', problem);
    if (isRunning) {
      const isBuilt = new CfnParameter(this, 'IsBuilt', { default: 'no', description: problem });
      new CfnRule(this, 'PluginIsBuilt', {
        assertions: [{ assert: Fn.conditionEquals(isBuilt, 'yes'), assertDescription: problem }],
      });
    }
    return {
      arn: stack.formatArn({
        service: 'kafkaconnect',
        resource: 'custom-plugin',
        resourceName: NOT_BUILT,
      }),
      revision: 1,
    };
  }
}

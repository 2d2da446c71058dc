/** `millrace/cdk`: an app's stacks, for a project's `bin/app.ts`, and a construct for connectors of your own. */
export {
  type ConnectorCluster,
  type ConnectorPlugin,
  MskConnector,
  type MskConnectorProps,
} from './constructs/msk-connector.ts';
export { synthesize } from './synthesize.ts';

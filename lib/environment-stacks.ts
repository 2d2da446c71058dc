import type { Construct } from 'constructs';
import type { Contract } from '../runtime/contract.ts';
import type { Environment } from './config/environment.ts';
import { ClusterStack } from './stacks/cluster-stack.ts';
import { ContractsStack } from './stacks/contracts-stack.ts';
import { NetworkStack } from './stacks/network-stack.ts';

/** Every stack of one environment, what holds data apart from what can be rebuilt. */
export function addEnvironmentStacks(
  app: Construct,
  environment: Environment,
  contracts: readonly Contract<never>[],
): void {
  const network = new NetworkStack(app, environment);
  const cluster = new ClusterStack(app, environment, network);
  new ContractsStack(app, environment, cluster, contracts);
}

/** `millrace/lambda`: the functions that the stacks deploy, for a project's `lambdas/NAME/index.ts`. */
export { collectorFunction } from './collector-function.ts';
export { type ConsumerFunctionOptions, consumerFunction } from './consumer-function.ts';
export { migrationFunction } from './migration-function.ts';

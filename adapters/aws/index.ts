/** `millrace/lambda`: the functions that the stacks deploy, for a project's `lambdas/NAME/index.ts`. */
export { archiveFunction } from './archive-function.ts';
export { collectorFunction } from './collector-function.ts';
export { consumerFunction } from './consumer-function.ts';
export type { ConsumerFunctionOptions } from './engine-function.ts';
export { migrationFunction } from './migration-function.ts';

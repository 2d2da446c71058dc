/** What an environment costs a month, and what it takes under a load: `millrace cost`, docs/scale.md. */
export { type Bill, billOf, NOT_COUNTED, type Workload } from './bill.ts';
export { type Deployment, deploymentOf } from './deployment.ts';
export { type PriceList, parsePriceList, US_EAST_1 } from './prices.ts';
export { fullness, type Need, needsOf } from './scale.ts';

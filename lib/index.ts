/** `millrace/cdk`: an app's stacks, for a project's `bin/app.ts`. */
export { synthesize } from './synthesize.ts';

/** The commands that more than one check gives. */

export function deployCommand(env: string, stack: string): string {
  return `npx cdk deploy -c env=${env} ${stack}`;
}

/** A plain deployment does nothing where the template is as before, and what was changed by hand stays changed. */
export function revertCommand(env: string, stack: string): string {
  return `${deployCommand(env, stack)} --revert-drift`;
}

/** What an environment's stacks call what others have to find: the stacks use these, and so does who looks for it. */
export function deployedName(env: string, part: string): string {
  return `millrace-${env}-${part}`;
}

export function deadLetterQueueName(env: string, consumer: string): string {
  return deployedName(env, `${consumer}-dead-letters`);
}

export function redriveQueueName(env: string, consumer: string): string {
  return deployedName(env, `${consumer}-redrive`);
}

export function registryName(env: string): string {
  return `millrace-${env}`;
}

/** On a dead-letter queue: the name of its consumer's bucket, which CloudFormation makes up. */
export const BUCKET_TAG = 'millrace:bucket';

import type { KnownVersion } from '../../runtime/contract/known-versions.ts';
import { readVersion, SETTINGS } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';

/** @throws FUNCTION_MISCONFIGURED naming the variable, where it is missing or empty */
export function setting(name: keyof typeof SETTINGS, environment = process.env): string {
  const value = environment[SETTINGS[name]];
  if (value) return value;
  throw new MillraceError(
    'FUNCTION_MISCONFIGURED',
    `The environment variable ${SETTINGS[name]} is missing. The function's stack sets it. Deploy the stack again.`,
    { details: { variable: SETTINGS[name] } },
  );
}

/** @throws FUNCTION_MISCONFIGURED where the variable is neither `true` nor `false` */
export function flag(name: keyof typeof SETTINGS, environment = process.env): boolean {
  const value = setting(name, environment);
  if (value === 'true' || value === 'false') return value === 'true';
  throw new MillraceError(
    'FUNCTION_MISCONFIGURED',
    `The environment variable ${SETTINGS[name]} is ${JSON.stringify(value)}; it takes true or false. The function's ` +
      'stack sets it. Deploy the stack again.',
    { details: { variable: SETTINGS[name] } },
  );
}

/** Which generation of its consumer the function fills. @throws FUNCTION_MISCONFIGURED where the variable is no such number */
export function generation(environment = process.env): number {
  const text = environment[SETTINGS.generation];
  if (text === undefined) return 1;
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new MillraceError(
    'FUNCTION_MISCONFIGURED',
    `The environment variable ${SETTINGS.generation} is ${JSON.stringify(text)}; it takes the number of a generation. The function's ` +
      'stack sets it. Deploy the stack again.',
    { details: { variable: SETTINGS.generation } },
  );
}

/** What tells the function's code from that of other deployments; Lambda's own version where a stack of before said nothing. */
export function codeVersion(environment = process.env): string {
  return environment[SETTINGS.code] ?? environment.AWS_LAMBDA_FUNCTION_VERSION ?? 'unknown';
}

/**
 * The versions that were registered at deployment; none where the variable is missing, and each is asked for.
 * @throws FUNCTION_MISCONFIGURED where the variable has something else
 */
export function knownVersions(environment = process.env): readonly KnownVersion[] {
  const text = (environment[SETTINGS.schemaIds] ?? '').replace(/^[\d.]*;/, '');
  const entries = text === '' ? [] : text.split(',');
  return entries.map((entry) => {
    const version = readVersion(entry);
    if (version) return version;
    throw new MillraceError(
      'FUNCTION_MISCONFIGURED',
      `The environment variable ${SETTINGS.schemaIds} has ${JSON.stringify(entry)}; each entry is topic/version=id. The ` +
        "function's stack sets it. Deploy the stack again.",
      { details: { variable: SETTINGS.schemaIds } },
    );
  });
}

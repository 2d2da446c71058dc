import { fileURLToPath } from 'node:url';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';

const ROOT = new URL('../', import.meta.url);

/**
 * What keeps the project's own contracts or consumers from loading, as an error that says where; null when they load.
 * For when something has failed already: a module that failed to load fails again in the same way.
 */
export async function findDeclarationFault(): Promise<MillraceError | null> {
  return (
    (await faultOf('contracts/index.ts', 'CONTRACT_INVALID')) ??
    (await faultOf('lambdas/consumers.ts', 'CONSUMER_INVALID'))
  );
}

async function faultOf(file: string, code: ErrorCode): Promise<MillraceError | null> {
  try {
    await import(new URL(file, ROOT).href);
    return null;
  } catch (error) {
    return error instanceof MillraceError ? error : describeLoadFault(error, file, code, fileURLToPath(ROOT));
  }
}

/** An error met while `file` was imported, as one that names the place in the project which has to be mended. */
export function describeLoadFault(
  error: unknown,
  file: string,
  code: ErrorCode,
  root: string,
): MillraceError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const place = placeIn(root, stack ?? '') ?? placeIn(root, message);
  const reason = message.split('\n')[0]?.replaceAll(root, '') ?? '';
  return new MillraceError(
    code,
    `${file} does not load${place ? `, because of ${place}` : ''}: ${reason}\nCorrect it there and try again.`,
    { cause: error, details: { file, ...(place ? { place } : {}) } },
  );
}

/** The first file of the project that a stack or a message names, with its line where there is one. */
function placeIn(root: string, text: string): string | undefined {
  for (const [, path, line] of text.matchAll(/(?:file:\/\/)?(\/[^\s:'"()]+\.ts)(?::(\d+))?/g)) {
    const inside = path?.startsWith(root) ? path.slice(root.length) : '';
    if (/^(contracts|lambdas)\//.test(inside)) return line ? `${inside}:${line}` : inside;
  }
  return undefined;
}

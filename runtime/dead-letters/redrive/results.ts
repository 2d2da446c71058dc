import type { ObjectStore } from '../../objects.ts';

/** How a redriven letter ended; the best of them counts where there are several. */
export const LETTER_RESULTS = ['applied', 'already-applied', 'overtaken', 'failed-again', 'refused'] as const;
export type LetterResult = (typeof LETTER_RESULTS)[number];

/** Where the results are, in the consumer's own object store. */
export const RESULTS_PREFIX = 'redrives/';

const prefixOf = (redriveId: string) => `${RESULTS_PREFIX}${redriveId}/`;

/**
 * Leaves what became of letters, by `letterKey`, for the person who redrove them; durable when it resolves. `part` names
 * this part of the redrive's results: writing it again replaces it.
 * @throws OBJECT_STORE_UNAVAILABLE
 */
export async function writeRedriveResults(
  objects: Pick<ObjectStore, 'put'>,
  redriveId: string,
  part: string,
  results: ReadonlyMap<string, LetterResult>,
): Promise<void> {
  await objects.put(`${prefixOf(redriveId)}${part}.json`, Buffer.from(JSON.stringify([...results])));
}

/**
 * Reads everything written so far, by `letterKey`. Keep the reader: it fetches each part once.
 * @throws OBJECT_STORE_UNAVAILABLE
 */
export function redriveResultsReader(
  objects: ObjectStore,
  redriveId: string,
): () => Promise<ReadonlyMap<string, LetterResult>> {
  const seen = new Set<string>();
  const results = new Map<string, LetterResult>();
  return async () => {
    for await (const { key } of objects.list(prefixOf(redriveId))) {
      if (seen.has(key)) continue;
      const body = await objects.get(key);
      if (!body) continue;
      seen.add(key);
      for (const [letter, result] of JSON.parse(body.toString()) as [string, LetterResult][]) {
        results.set(letter, better(results.get(letter), result));
      }
    }
    return results;
  };
}

function better(a: LetterResult | undefined, b: LetterResult): LetterResult {
  return a !== undefined && LETTER_RESULTS.indexOf(a) <= LETTER_RESULTS.indexOf(b) ? a : b;
}

import type { ObjectStore } from '../ports.ts';

/** How a redriven letter ended; the best of them counts where there are several. */
export const LETTER_RESULTS = ['applied', 'already-applied', 'failed-again', 'refused'] as const;
export type LetterResult = (typeof LETTER_RESULTS)[number];

const PREFIX = 'redrives/';

/** What became of letters, from the function that settled them to the person who redrove them. */
export interface RedriveResults {
  /**
   * Durable when it resolves. `part` names this part of the redrive's results: writing it again replaces it.
   * @throws OBJECT_STORE_UNAVAILABLE
   */
  write(redriveId: string, part: string, results: ReadonlyMap<string, LetterResult>): Promise<void>;
  /** Everything written so far, by letter id. Keep the reader: it fetches each part once. */
  reader(redriveId: string): () => Promise<ReadonlyMap<string, LetterResult>>;
}

export function createRedriveResults(objects: ObjectStore): RedriveResults {
  const prefixOf = (redriveId: string) => `${PREFIX}${redriveId}/`;
  return {
    async write(redriveId, part, results) {
      const body = Buffer.from(JSON.stringify([...results]));
      await objects.put(`${prefixOf(redriveId)}${part}.json`, body);
    },
    reader(redriveId) {
      const seen = new Set<string>();
      const results = new Map<string, LetterResult>();
      return async () => {
        for await (const { key } of objects.list(prefixOf(redriveId))) {
          if (seen.has(key)) continue;
          const body = await objects.get(key);
          if (!body) continue;
          seen.add(key);
          for (const [id, result] of JSON.parse(body.toString()) as [string, LetterResult][]) {
            results.set(id, better(results.get(id), result));
          }
        }
        return results;
      };
    },
  };
}

function better(a: LetterResult | undefined, b: LetterResult): LetterResult {
  return a !== undefined && LETTER_RESULTS.indexOf(a) <= LETTER_RESULTS.indexOf(b) ? a : b;
}

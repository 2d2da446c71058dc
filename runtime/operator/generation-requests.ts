/** What an environment's migrations function is asked besides to migrate: it alone logs in as who owns the tables. */
import { createHash } from 'node:crypto';
import { isArchive } from '../archive/archive.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import { ERRORS, type ErrorCode, MillraceError } from '../errors.ts';
import type { Generation, GenerationStore, Switched } from '../replay/generation.ts';

export type GenerationRequest =
  | { readonly action: 'generations'; readonly consumer: string }
  | {
      readonly action: 'create';
      readonly consumer: string;
      /** `declarationOf` the consumer of who asks: the function makes tables by its own. */
      readonly declaration: string;
      readonly rebuild: { readonly id: string; readonly code: string };
    }
  | {
      readonly action: 'promote';
      readonly consumer: string;
      readonly number: number;
      readonly code: string;
      readonly mayLose: number;
      /** A partition and the oldest offset that its log still has. */
      readonly oldest: readonly (readonly [partition: number, offset: number])[];
    }
  | { readonly action: 'rollback'; readonly consumer: string }
  | { readonly action: 'drop'; readonly consumer: string; readonly number: number };

/** A refusal comes back as an answer, so that its code is not lost: Lambda tells the message of an error, and no more. */
export type GenerationAnswer =
  | { readonly done: readonly Generation[] | Generation | Switched | Record<string, never> }
  | { readonly refused: { readonly code: ErrorCode; readonly message: string } };

/** Whether an event asks for something; the trigger of a deployment asks for nothing. */
export function isGenerationRequest(event: unknown): event is GenerationRequest {
  return typeof event === 'object' && event !== null && 'action' in event;
}

/** What of a consumer's declaration its tables and its ledger depend on. */
export function declarationOf({ topic, epoch, migrations }: AnyConsumer): string {
  return createHash('sha256')
    .update(JSON.stringify([topic.name, epoch, migrations]))
    .digest('hex')
    .slice(0, 16);
}

/** Answers for those that the app declares. @throws what has to do with neither the request nor the tables: the database is away */
export async function answerGenerationRequest(
  consumers: readonly AnyConsumer[],
  store: GenerationStore,
  request: GenerationRequest,
): Promise<GenerationAnswer> {
  try {
    return { done: await act(consumers, store, request) };
  } catch (error) {
    if (!(error instanceof MillraceError) || ERRORS[error.code].action === 'hold') throw error;
    return { refused: { code: error.code, message: error.message } };
  }
}

async function act(
  consumers: readonly AnyConsumer[],
  store: GenerationStore,
  request: GenerationRequest,
): Promise<Extract<GenerationAnswer, { done: unknown }>['done']> {
  const consumer = consumers.find(({ name }) => name === request.consumer);
  if (!consumer || isArchive(consumer)) {
    throw new MillraceError(
      'INPUT_INVALID',
      `The deployed migrations function knows no consumer ${JSON.stringify(request.consumer)} with tables. Deploy the app first.`,
      { details: { consumer: request.consumer } },
    );
  }
  switch (request.action) {
    case 'generations':
      return store.list(consumer.name);
    case 'create':
      if (request.declaration !== declarationOf(consumer)) {
        throw new MillraceError(
          'REBUILD_REFUSED',
          `The deployed migrations, topic or epoch of ${consumer.name} are not those of this project, so the new tables would not be what its ` +
            'code expects. Nothing has changed. Deploy the stack of the migrations first, and try again.',
          { details: { consumer: consumer.name } },
        );
      }
      return store.create(consumer, request.rebuild);
    case 'promote': {
      const { number, code, mayLose, oldest } = request;
      return store.promote(consumer, number, { code, mayLose, oldest: new Map(oldest) });
    }
    case 'rollback':
      return store.rollback(consumer);
    case 'drop':
      await store.drop(consumer, request.number);
      return {};
    default:
      throw new MillraceError(
        'INPUT_INVALID',
        `The migrations function was asked for ${JSON.stringify((request as { action?: unknown }).action)}; it knows generations, create, promote, rollback and drop.`,
      );
  }
}

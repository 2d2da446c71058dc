/** Records and what is known of them: of a state folder with what its options replace, or of a deployed environment. */
import { openLedgerSession } from '../local/ledger-session.ts';
import { existingStateFolder } from '../local/state-folder.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { EvidenceLog, EvidenceSources } from '../runtime/replay/evidence.ts';
import { type EnvironmentOptions, openEnvironment } from './environment-session.ts';
import {
  type ArchiveOptions,
  type KafkaOptions,
  type PostgresOptions,
  storesOptions,
} from './outside-options.ts';

export interface EvidenceOptions extends ArchiveOptions, EnvironmentOptions, KafkaOptions, PostgresOptions {
  readonly state: string;
}

export interface EvidenceSession {
  readonly log: EvidenceLog;
  /** An environment's own; undefined elsewhere, where an option says which it is. */
  readonly registry?: SchemaRegistry;
  /** Of the generation that readers see. */
  sourcesOf(consumer: AnyConsumer): Promise<EvidenceSources>;
  close(): Promise<void>;
}

/** @throws INPUT_INVALID, STATE_UNREADABLE where it cannot be reached */
export async function openEvidence(options: EvidenceOptions): Promise<EvidenceSession> {
  if (options.env === undefined) {
    const session = await openLedgerSession(existingStateFolder(options.state), {
      ...storesOptions(options),
      postgres: options.postgres,
    });
    return { log: session.stores.log, sourcesOf: session.sourcesOf, close: session.close };
  }
  const { log, registry, of } = await openEnvironment(options.env);
  return {
    log,
    registry,
    sourcesOf: async (consumer) => (await of(consumer)).sources,
    close: async () => {},
  };
}

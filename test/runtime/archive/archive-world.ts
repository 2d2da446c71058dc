/** An archive for the world of the delivery promises: each instance of the function is a process of its own. */
import { gunzipSync } from 'node:zlib';
import { holesIn } from '../../../runtime/archive/chain.ts';
import { chainPrefix } from '../../../runtime/archive/names.ts';
import { ArchiveSink } from '../../../runtime/archive/sink.ts';
import type { ArchiveTransaction } from '../../../runtime/delivery/sink.ts';
import type { ObjectMetadata, ObjectStore } from '../../../runtime/objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import type { WorldSink } from '../delivery/delivery-world.ts';
import { around } from '../delivery/stopping.ts';
import { events } from '../events.ts';

interface Created {
  readonly key: string;
  readonly body: Buffer;
  readonly metadata: ObjectMetadata;
}

const DAY_MS = 86_400_000;

export function archiveWorldSink(): WorldSink {
  const clock = createFakeClock();
  const objects = createMemoryObjects({ clock });
  const created: Created[] = [];
  const store: ObjectStore = {
    ...objects,
    async create(key, body, metadata) {
      const isNew = await objects.create(key, body, metadata);
      if (isNew) created.push({ key, body, metadata });
      return isNew;
    },
  };
  const of = (partition: number) => {
    const prefix = chainPrefix({ topic: events.name, epoch: 1, partition });
    return created.filter(({ key }) => key.startsWith(prefix));
  };
  return {
    open(step) {
      // Some instances find that a day has passed.
      void clock.advance(created.length % 3 === 0 ? DAY_MS : 1_000);
      return new ArchiveSink({ store: stepping(store, step), topic: events, clock });
    },
    apply: (record, tx: ArchiveTransaction) => tx.append([record]),
    effects: (partition) =>
      of(partition).flatMap(({ body }) =>
        gunzipSync(body)
          .toString()
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => (JSON.parse(line) as { readonly offset: number }).offset),
      ),
    ledger(partition) {
      const metadata = of(partition).at(-1)?.metadata;
      // An empty object has turned the chain to a new day.
      if (!metadata || metadata.next === 'null') return undefined;
      return {
        first: Number(metadata.first),
        next: Number(metadata.next),
        maxTimestamp: Number(metadata['max-timestamp']),
        ...holesIn(metadata.holes!),
      };
    },
  };
}

/** A store whose every request may be the last. */
function stepping(store: ObjectStore, step: () => Promise<void>): ObjectStore {
  const stepped = around(step);
  return {
    ...store,
    put: stepped(store.put),
    create: stepped(store.create),
    open: stepped(store.open),
    metadata: stepped(store.metadata),
  };
}

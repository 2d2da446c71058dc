import type { Contract } from '../../runtime/contract/contract.ts';
import { FRAME_HEADER_BYTES, FRAME_MAGIC, type Framing } from '../../runtime/contract/framing.ts';
import type { Random } from '../../runtime/ports.ts';
import type { OutgoingRecord } from '../../runtime/topics.ts';

/** Each way a producer without the contract gets a value wrong. None of them decodes, whatever the good value was. */
const SPOILERS = [
  function garbage(_good: Buffer, framing: Framing, random: Random): Buffer {
    const bytes = randomBytes(1 + Math.floor(random.next() * 64), random);
    bytes[0] = FRAME_MAGIC[framing] + 1 + (bytes[0]! % 200);
    return bytes;
  },
  function truncatedBody(good: Buffer, framing: Framing, random: Random): Buffer {
    const bodyBytes = good.length - FRAME_HEADER_BYTES[framing];
    return Buffer.from(good.subarray(0, FRAME_HEADER_BYTES[framing] + Math.floor(random.next() * bodyBytes)));
  },
  function unknownSchema(good: Buffer, framing: Framing, random: Random): Buffer {
    const idBytes = framing === 'glue' ? 16 : 4;
    const idAt = FRAME_HEADER_BYTES[framing] - idBytes;
    const bytes = Buffer.from(good);
    randomBytes(idBytes, random).copy(bytes, idAt);
    // High in its range, where no small registry hands out ids.
    bytes[idAt] = 0x7f;
    return bytes;
  },
  function otherFraming(good: Buffer, framing: Framing): Buffer {
    const body = good.subarray(FRAME_HEADER_BYTES[framing]);
    return Buffer.concat([
      Buffer.from([FRAME_MAGIC[framing === 'glue' ? 'confluent' : 'glue'], 0, 0, 0, 7]),
      body,
    ]);
  },
  function trailingBytes(good: Buffer, _framing: Framing, random: Random): Buffer {
    return Buffer.concat([good, randomBytes(1 + Math.floor(random.next() * 8), random)]);
  },
  function plainJson(): Buffer {
    return Buffer.from('{"contentId":"/world/written-by-hand","engagedMs":"12s"}');
  },
  function emptyValue(): Buffer {
    return Buffer.alloc(0);
  },
  function nullValue(): null {
    return null;
  },
];

/**
 * Makes a record that breaks the contract, as a producer that goes round the contract check would send it. No
 * consumer can decode it; the same randomness makes the same record.
 * @param good an encoded value of the contract, uncompressed, to spoil
 * @param number makes the record's key, so that poison spreads over the partitions
 */
export function poisonRecord(
  contract: Pick<Contract<never>, 'framing'>,
  good: Buffer,
  number: number,
  random: Random,
): OutgoingRecord {
  const spoil = SPOILERS[Math.floor(random.next() * SPOILERS.length)]!;
  return { key: Buffer.from(`poison-${number}`), value: spoil(good, contract.framing, random) };
}

function randomBytes(length: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random.next() * 256)));
}

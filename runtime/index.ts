/** `millrace`: what a project declares with. Whatever is exported here is kept stable. */
export { type App, type Demo, defineApp, type InputItem, type LineParser, type Traffic } from './app.ts';
export { type Archive, type ArchiveDeclaration, defineArchive } from './archive/archive.ts';
export type { AvroSchema } from './avro/schema.ts';
export { type CapturedDatabase, defineDatabase } from './capture/database.ts';
export { type CapturedTable, type Change, defineTable } from './capture/table.ts';
export { type Contract, type ContractVersion, defineTopic } from './contract/contract.ts';
export { type AnyConsumer, defineConsumer, type HandlerContext } from './delivery/consumer.ts';
export type { Replay } from './delivery/ledger.ts';
export type { SqlTransaction } from './delivery/sink.ts';
export type { EnvironmentSettings } from './environment.ts';
export { type ErrorAction, type ErrorCode, MillraceError } from './errors.ts';
export type { Logger, Random } from './ports.ts';
export type { ConsumerRecord, Header, RawRecord } from './record.ts';

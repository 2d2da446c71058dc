/** `millrace`: what a project declares with. Whatever is exported here is kept stable. */
export { type App, type Demo, defineApp, type InputItem, type LineParser, type Traffic } from './app.ts';
export { type AnyConsumer, defineConsumer, type HandlerContext } from './consumer.ts';
export { type AvroSchema, type Contract, type ContractVersion, defineTopic } from './contract.ts';
export type { EnvironmentSettings } from './environment.ts';
export { type ErrorAction, type ErrorCode, MillraceError } from './errors.ts';
export type { Logger, Random, SqlTransaction } from './ports.ts';
export type { ConsumerRecord, Header, RawRecord } from './record.ts';

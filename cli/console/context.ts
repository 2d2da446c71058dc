/** What the parts of the console have in common: the app, where it looks, and what it may do. */
import type { Place } from '../../console/operations.ts';
import type { LoadedApp } from '../app.ts';
import type { DlqSessionOptions } from '../dlq/session.ts';
import { placeFlags } from '../hints.ts';
import type { ArchiveOptions, PostgresOptions } from '../outside-options.ts';

export interface ConsoleOptions extends ArchiveOptions, DlqSessionOptions, PostgresOptions {
  readonly allowActions?: true;
  readonly showValues?: true;
}

export interface ConsoleContext {
  readonly app: LoadedApp;
  readonly options: ConsoleOptions;
  readonly place: Place;
}

export function placeOf(app: LoadedApp, options: ConsoleOptions): Place {
  const { env, kafka, state } = options;
  return {
    app: app.name,
    kind: env !== undefined ? 'aws' : kafka ? 'kafka' : 'laptop',
    at: env !== undefined ? `${env} on AWS` : kafka ? `${kafka.join(', ')}, with ${state}` : state,
    flags: placeFlags(options).join(' '),
    consumers: app.consumers.map(({ name }) => name),
    topics: [...new Set(app.consumers.map(({ topic }) => topic.name))],
    allowsActions: options.allowActions === true,
    showsValues: options.showValues === true,
  };
}

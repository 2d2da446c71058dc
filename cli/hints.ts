/** Commands for a person to copy: whole, shell-quoted, and about the same place as the command that prints them. */
import { DEFAULT_STATE, shellQuoted } from '../runtime/commands.ts';
import type { KafkaOptions } from './outside-options.ts';
import type { RegistryOptions } from './registry-option.ts';

/** Where a command looks. */
export interface Place extends KafkaOptions, RegistryOptions {
  readonly state?: string;
  readonly env?: string;
}

/** `npx millrace` with these words, and the options that lead to `place`. */
export function hint(words: readonly string[], place: Place = {}): string {
  return ['npx millrace', ...words.map(shellQuoted), ...placeFlags(place)].join(' ');
}

export function placeFlags({ state, env, kafka, kafkaAuth, registry }: Place): readonly string[] {
  const flags: [string, string | undefined][] = [
    ['--env', env],
    // On AWS the folder has nothing but the journals of redrives.
    ['--state', state === DEFAULT_STATE || env !== undefined ? undefined : state],
    ['--kafka', kafka?.join(',')],
    ['--kafka-auth', kafkaAuth],
    ['--registry', registry && ('url' in registry ? registry.url : `glue:${registry.name}`)],
  ];
  return flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag, shellQuoted(value)]));
}

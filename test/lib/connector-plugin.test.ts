/** A deployed connector keeps its plugin by the plugin's version: another content under one version would never be deployed. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { CREDENTIALS_LIBRARY, DEBEZIUM_PLUGIN, PLUGIN_VERSION } from '../../runtime/capture/plugin.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import { ROOT } from '../newsdesk.ts';
import { templatesOf } from './synthesized.ts';
import { CAPTURE } from './variants.ts';

const CONNECT = join(ROOT, 'connect');

test('what is in the plugin, and how its worker is set, is what this version had when it was first deployed', () => {
  const hash = createHash('sha256');
  for (const file of globSync('**/*.{java,txt}', { cwd: CONNECT }).toSorted())
    hash.update(file).update(readFileSync(join(CONNECT, file)));
  const options = {
    consumers: captured.consumers,
    tables: captured.tables!,
    settings: { capture: CAPTURE },
  };
  const [worker] = Object.values(
    templatesOf('prod', options)['capture-cms']!.findResources('AWS::KafkaConnect::WorkerConfiguration'),
  );
  hash.update(worker!.Properties.PropertiesFileContent);
  // Otherwise: raise the number behind Debezium's version in runtime/capture/plugin.ts, then take over both here.
  expect([PLUGIN_VERSION, hash.digest('hex').slice(0, 16)]).toEqual(['3.6.1.Final-1', '1d80fe171d84b07a']);
});

test('its version is Debezium’s, and the pins have Debezium and the library of credentials in theirs', () => {
  const pins = readFileSync(join(CONNECT, 'checksums.txt'), 'utf8');
  const [, , debezium] = DEBEZIUM_PLUGIN.split(':');
  const [, auth, sdk] = CREDENTIALS_LIBRARY.split(':');
  expect(PLUGIN_VERSION).toMatch(new RegExp(`^${debezium!.replaceAll('.', '\\.')}-\\d+$`));
  expect(pins).toMatch(new RegExp(`^[0-9a-f]{64}  debezium-connector-postgres-${debezium}\\.jar$`, 'm'));
  expect(pins).toMatch(new RegExp(`^[0-9a-f]{64}  ${auth}-${sdk}\\.jar$`, 'm'));
});

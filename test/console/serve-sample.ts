/** The console on a made-up pipeline, to look at: prints its URL. [--port N] [--allow-actions] [--show-values] */
import { parseArgs } from 'node:util';
import { consoleAssets } from '../../console/assets.ts';
import { serveConsole } from '../../console/server.ts';
import { sampleOperations } from './sample-operations.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'allow-actions': { type: 'boolean', default: false },
    'show-values': { type: 'boolean', default: false },
  },
});
const operations = sampleOperations({
  allowsActions: values['allow-actions'],
  showsValues: values['show-values'],
});
const { url } = await serveConsole({ operations, assets: await consoleAssets(), port: Number(values.port) });
console.log(url);

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { buildConnectorPlugin, pluginPrerequisites } from '../../local/parts/connector-plugin.ts';
import { checkPrerequisites } from '../../local/parts/prerequisites.ts';
import { Processes } from '../../local/parts/processes.ts';
import { PLUGIN_VERSION } from '../../runtime/capture/plugin.ts';
import { jsonOption } from '../options.ts';
import { epilogue, printJson, printLine, printNote } from '../terminal.ts';

const NOTES = `
It fetches Debezium and a part of the AWS SDK from Maven Central, checks them
against pinned checksums, compiles Millrace's login class, and writes a zip into
node_modules/.cache. "cdk deploy" uploads it. Needs Java 17 (a JDK) and Maven.`;

export function pluginCommand(): Command {
  return new Command('plugin')
    .description('Builds the connector plugin that "cdk deploy" uploads for MSK Connect.')
    .addOption(jsonOption('print one object: version, path, bytes, jars'))
    .addHelpText('after', epilogue(NOTES))
    .action(async ({ json }: { readonly json?: true }) => {
      checkPrerequisites(pluginPrerequisites);
      const folder = mkdtempSync(join(tmpdir(), 'millrace-plugin-'));
      const processes = new Processes(folder, { note: printNote });
      try {
        const { path, bytes, jars } = await buildConnectorPlugin(processes);
        if (json) return printJson({ version: PLUGIN_VERSION, path, bytes, jars });
        printLine(`${PLUGIN_VERSION}: ${jars} files, ${(bytes / 1e6).toFixed(1)} MB, in ${path}`);
      } finally {
        await processes.endAll();
        rmSync(folder, { recursive: true });
      }
    });
}

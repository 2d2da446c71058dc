import { relative } from 'node:path';
import { Command } from 'commander';
import { generateProject } from '../../local/warehouse/warehouse.ts';
import { loadApp } from '../app.ts';
import { jsonOption } from '../options.ts';
import { epilogue, plural, printJson, printLine } from '../terminal.ts';
import { projectFolder, projectOption } from './options.ts';

const EXAMPLE = `
Example:
  millrace warehouse generate && git diff dbt

Writes a dbt project: sources, models, tests and docs of every table and archived
topic. A file that you change is yours, and stays; delete it to have it back.`;

export function generateCommand(): Command {
  return new Command('generate')
    .description('Writes the dbt project from the declarations.')
    .addOption(projectOption('--into <dir>', 'the folder of the dbt project'))
    .addOption(jsonOption('print one object: folder, written, removed, kept, orphaned, unchanged'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async ({ into, json }: { into?: string; json?: true }) => {
      const app = await loadApp();
      const folder = projectFolder(app.root, into);
      const project = await generateProject(app, folder);
      if (json) return printJson({ folder, ...project });
      const name = relative(process.cwd(), folder) || '.';
      for (const path of project.written) printLine(`written  ${path}`);
      for (const path of project.removed) printLine(`removed  ${path}, declared no longer`);
      for (const path of project.kept) printLine(`kept     ${path}, which you have changed`);
      for (const path of project.orphaned) {
        printLine(
          `orphaned ${path}, which you have changed, and which is declared no longer: dbt fails on it. Delete it, or give it what it is built from`,
        );
      }
      const changes = project.written.length + project.removed.length;
      printLine(
        changes === 0
          ? `${name}: nothing to write, ${plural(project.unchanged, 'file')} as declared`
          : `${name}: ${plural(project.written.length, 'file')} written, ${project.unchanged} as they were`,
      );
    });
}

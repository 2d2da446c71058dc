import { Command } from 'commander';
import { epilogue } from './terminal.ts';
import { generateCommand } from './warehouse/generate.ts';
import { reconcileCommand } from './warehouse/reconcile.ts';
import { runCommand } from './warehouse/run.ts';
import { warehouseSqlCommand } from './warehouse/sql.ts';

const EXAMPLE = `
Examples:
  millrace warehouse generate       write the dbt project
  millrace warehouse run            load it into DuckDB, build and test`;

export function warehouseCommand(): Command {
  const warehouse = new Command('warehouse')
    .description('Builds the tables of captured databases and archived topics in a warehouse, with dbt.')
    .addHelpText('after', epilogue(EXAMPLE));
  for (const command of [generateCommand(), runCommand(), reconcileCommand(), warehouseSqlCommand()])
    warehouse.addCommand(command);
  return warehouse;
}

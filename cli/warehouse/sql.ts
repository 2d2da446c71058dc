import { Command, Option } from 'commander';
import { snowflakeSql } from '../../runtime/warehouse/snowflake.ts';
import { loadApp } from '../app.ts';
import { epilogue, printLine } from '../terminal.ts';

const EXAMPLE = `
Example:
  millrace warehouse sql --bucket news-archive --role-arn arn:aws:iam::123456789012:role/news-warehouse

Prints SQL and runs nothing. Stack outputs give the bucket and the role.`;

export function warehouseSqlCommand(): Command {
  return new Command('sql')
    .description('Prints what an administrator of Snowflake runs, once and when tables are added.')
    .addOption(new Option('--bucket <name>', 'the bucket of the archives').makeOptionMandatory())
    .addOption(new Option('--role-arn <arn>', 'the role that Snowflake reads it with').makeOptionMandatory())
    .option('--snowpipe', 'load by Snowpipe, as objects come, instead of by COPY INTO')
    .addHelpText('after', epilogue(EXAMPLE))
    .action(
      async ({
        bucket,
        roleArn,
        snowpipe = false,
      }: {
        bucket: string;
        roleArn: string;
        snowpipe?: boolean;
      }) => {
        printLine(snowflakeSql(await loadApp(), { bucket, roleArn, snowpipe }));
      },
    );
}

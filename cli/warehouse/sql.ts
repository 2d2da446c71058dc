import { Command, InvalidArgumentError, Option } from 'commander';
import { snowflakeSql } from '../../runtime/warehouse/snowflake.ts';
import { loadApp } from '../app.ts';
import { BUCKET_NAME } from '../outside-options.ts';
import { epilogue, printLine } from '../terminal.ts';

const EXAMPLE = `
Example:
  millrace warehouse sql --bucket news-archive --role-arn arn:aws:iam::123456789012:role/news-warehouse

Prints SQL and runs nothing. Stack outputs give the bucket and the role.`;

const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/;

export function warehouseSqlCommand(): Command {
  return new Command('sql')
    .description('Prints what an administrator of Snowflake runs, once and when tables are added.')
    .addOption(
      new Option('--bucket <name>', 'the bucket of the archives').makeOptionMandatory().argParser((text) => {
        if (BUCKET_NAME.test(text)) return text;
        throw new InvalidArgumentError('Give the name of a bucket, such as news-archive.');
      }),
    )
    .addOption(
      new Option('--role-arn <arn>', 'the role that Snowflake reads it with')
        .makeOptionMandatory()
        .argParser((text) => {
          if (ROLE_ARN.test(text)) return text;
          throw new InvalidArgumentError(
            'Give the ARN of a role, such as arn:aws:iam::123456789012:role/news-warehouse.',
          );
        }),
    )
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

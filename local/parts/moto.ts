/**
 * moto, which answers as Amazon S3 and AWS Glue, in one process: https://docs.getmoto.org/en/latest/docs/server_mode.html
 *
 * Where 5.2.5, tried on 2026-11-25, is not what https://docs.aws.amazon.com/AmazonS3/latest/API/ and
 * https://docs.aws.amazon.com/glue/latest/webapi/ say of AWS:
 *
 * - S3: checksums and Content-MD5 that a client sends are not compared with the object. Buckets are to be addressed by
 *   path (`forcePathStyle`). A bucket outside us-east-1 needs no LocationConstraint.
 * - Glue: RegisterSchemaVersion checks that the schema is JSON, not its compatibility: every version is AVAILABLE.
 *   Ten registries are the most. CheckSchemaVersionValidity, ListSchemas, ListSchemaVersions and
 *   QuerySchemaVersionMetadata answer 500.
 * - Kafka: clusters only, with a time of creation that the SDK cannot read; no topics.
 * - Lambda: GetAccountSettings is missing, and so are event source mappings of a Kafka cluster. Functions run in Docker.
 * - CloudFormation: test/verify/deploy-to-moto.ts lists what it leaves out of our templates.
 * - Credentials are not looked at; the account is 123456789012.
 */
import { join } from 'node:path';
import { cache, pythonCommand } from './downloads.ts';
import { type Prerequisite, python } from './prerequisites.ts';
import { freePort, type Processes } from './processes.ts';

const VERSION = '5.2.5';

/** moto's own Python, which has botocore: there once moto has been started. */
export const motoPython = join(cache, `moto-${VERSION}`, 'bin', 'python');

export const moto = {
  name: 'moto',
  prerequisites: [python] as readonly Prerequisite[],

  download: (processes: Processes) => pythonCommand(processes, 'moto[server]', VERSION, 'moto_server'),

  async start(processes: Processes, command: string) {
    const port = await freePort();
    const server = processes.start('moto', command, ['-H', '127.0.0.1', '-p', String(port)]);
    const value = `http://127.0.0.1:${port}`;
    await server.untilAnswers(() => fetch(`${value}/moto-api/`, { signal: AbortSignal.timeout(2_000) }));
    return { value, version: VERSION };
  },
};

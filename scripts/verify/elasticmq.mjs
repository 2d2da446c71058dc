// ElasticMQ, which answers as Amazon SQS: https://github.com/softwaremill/elasticmq
//
// Message moves, RedrivePolicy and the size limit of 1 MiB are there. Where 1.7.1, tried on 2026-11-25, is not what
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/ says of SQS:
//
// - Size: the limit of 1,048,576 is in characters, for the body and each string attribute by itself; binary attributes
//   have none. SQS counts bytes, of the body and all attributes together.
// - Ignored, and not returned: MaximumMessageSize, MessageRetentionPeriod, encryption. Nothing expires.
// - RedriveAllowPolicy is refused with InvalidAttributeName.
// - StartMessageMoveTask takes any source; SQS wants a dead-letter queue. Without DestinationArn everything goes to one
//   queue that has the source as its dead-letter queue (SQS: each message to where it came from), and where there is
//   none, the answer is a 503 after 21 seconds. Messages in flight are moved as well, and invisible until their timeout.
// - A moved message keeps its MessageId; SQS gives it a new one. SentTimestamp and ApproximateReceiveCount start anew.
//   https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
// - A canceled move vanishes from ListMessageMoveTasks; SQS lists it as CANCELLED. TaskHandle is there for any status.
// - Deleting by a receipt handle that is stale, or whose message is deleted, is ReceiptHandleIsInvalid (in a batch: of
//   that entry); SQS says it went well.
// - Not refused: an empty batch, a VisibilityTimeout over 43,200, PurgeQueue twice within a minute.
// - Whatever is wrong with a parameter is InvalidAttributeValue, with 'MessageTooLong' and the like as its message.
// - Credentials are not looked at. Counts are exact, receives see every message, and the order is kept.
import { mavenArtifacts } from '../../local/parts/downloads.ts';
import { java, maven } from '../../local/parts/prerequisites.ts';
import { freePort } from '../../local/parts/processes.ts';

const VERSION = '1.7.1';

export const elasticmq = {
  name: 'ElasticMQ',
  variable: 'MILLRACE_TEST_SQS',
  prerequisites: [java, maven],

  download: (processes) => mavenArtifacts(processes, [`org.elasticmq:elasticmq-server_2.13:${VERSION}`]),

  async start(processes, classPath) {
    const port = await freePort();
    const settings = {
      'rest-sqs.bind-hostname': '127.0.0.1',
      'rest-sqs.bind-port': port,
      'rest-sqs.sqs-limits': 'strict',
      'generate-node-address': true,
      // As in moto's ARNs.
      'aws.region': 'eu-west-1',
      'aws.accountId': '123456789012',
    };
    const server = processes.start('elasticmq', java.find(), [
      '-Xmx256m',
      ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`),
      '-cp',
      classPath,
      'org.elasticmq.server.Main',
    ]);
    const value = `http://127.0.0.1:${port}`;
    // Any answer will do.
    await server.untilAnswers(() => fetch(value, { signal: AbortSignal.timeout(2_000) }));
    return { value, version: VERSION };
  },
};

// Python's libraries for a program that a test runs: the part's value is a Python that has them.
import { pythonPackages } from '../../local/parts/downloads.ts';
import { python } from '../../local/parts/prerequisites.ts';

/** What docs/producing.md tells a Python producer to install. */
export const PYTHON_PRODUCER = [
  'confluent-kafka==2.16.1',
  'fastavro==1.13.1',
  'boto3==1.44.8',
  'aws-msk-iam-sasl-signer-python==1.0.2',
];

export const pythonProducer = {
  name: 'Libraries of a Python producer',
  variable: 'MILLRACE_TEST_PYTHON_PRODUCER',
  prerequisites: [python],
  download: (processes) => pythonPackages(processes, PYTHON_PRODUCER),
  start: async (_, path) => ({
    value: path,
    version: PYTHON_PRODUCER.map((each) => each.split('==')[1]).join(', '),
  }),
};

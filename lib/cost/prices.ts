/** What AWS asks for, in one region on one day. A file of the same shape can stand in for it: `millrace cost --prices FILE`. */

export interface Price {
  readonly usd: number;
  readonly per: string;
  readonly source: string;
}

export interface PriceList {
  readonly region: string;
  /** The day on which the prices were noted, `2026-11-26`. */
  readonly date: string;
  /** How they were come by. */
  readonly note: string;
  /** Of a broker for an hour, by its instance type. */
  readonly brokerHour: Readonly<Record<string, number>>;
  readonly prices: Readonly<Record<PriceName, Price>>;
}

export type PriceName = keyof typeof prices;

const MSK = 'https://aws.amazon.com/msk/pricing/';
const LAMBDA = 'https://aws.amazon.com/lambda/pricing/';
const PRIVATELINK = 'https://aws.amazon.com/privatelink/pricing/';
const AURORA = 'https://aws.amazon.com/rds/aurora/pricing/';
const PROXY = 'https://aws.amazon.com/rds/proxy/pricing/';
const KMS = 'https://aws.amazon.com/kms/pricing/';
const CLOUDWATCH = 'https://aws.amazon.com/cloudwatch/pricing/';
const SQS = 'https://aws.amazon.com/sqs/pricing/';
const FARGATE = 'https://aws.amazon.com/fargate/pricing/';
const SECRETS = 'https://aws.amazon.com/secrets-manager/pricing/';
const VPC = 'https://aws.amazon.com/vpc/pricing/';
const S3 = 'https://aws.amazon.com/s3/pricing/';
const API_GATEWAY = 'https://aws.amazon.com/api-gateway/pricing/';

const prices = {
  standardStorage: { usd: 0.1, per: 'GB-month', source: MSK },
  expressStorage: { usd: 0.1, per: 'GB-month', source: MSK },
  expressIngest: { usd: 0.01, per: 'GB written', source: MSK },
  pollerUnitHour: { usd: 0.185, per: 'event poller unit and hour', source: LAMBDA },
  endpointHour: { usd: 0.01, per: 'interface endpoint, zone and hour', source: PRIVATELINK },
  capacityUnitHour: { usd: 0.12, per: 'ACU and hour', source: AURORA },
  databaseIo: { usd: 0.2, per: 'million requests', source: AURORA },
  proxyUnitHour: { usd: 0.015, per: 'ACU and hour, 8 at least', source: PROXY },
  key: { usd: 1, per: 'key', source: KMS },
  alarmMetric: { usd: 0.1, per: 'metric in an alarm', source: CLOUDWATCH },
  compositeAlarm: { usd: 0.5, per: 'composite alarm', source: CLOUDWATCH },
  dashboard: { usd: 3, per: 'dashboard', source: CLOUDWATCH },
  ownMetric: { usd: 0.3, per: 'metric', source: CLOUDWATCH },
  logs: { usd: 0.5, per: 'GB', source: CLOUDWATCH },
  invocations: { usd: 0.2, per: 'million invocations', source: LAMBDA },
  armGbSecond: { usd: 0.000_013_333_4, per: 'GB-second on Graviton', source: LAMBDA },
  queueRequests: { usd: 0.4, per: 'million requests', source: SQS },
  connectUnitHour: { usd: 0.11, per: 'MCU and hour', source: MSK },
  objectWrites: { usd: 5, per: 'million PUT requests', source: S3 },
  objectStorage: { usd: 0.023, per: 'GB-month', source: S3 },
  containerCpuHour: { usd: 0.032_38, per: 'vCPU on Graviton and hour', source: FARGATE },
  containerGbHour: { usd: 0.003_56, per: 'GB on Graviton and hour', source: FARGATE },
  addressHour: { usd: 0.005, per: 'public IPv4 address and hour', source: VPC },
  secret: { usd: 0.4, per: 'secret', source: SECRETS },
  apiRequests: { usd: 3.5, per: 'million requests', source: API_GATEWAY },
} as const satisfies Record<string, Price>;

/** Brokers of a family double in price with their size. */
const SIZES = {
  large: 1,
  xlarge: 2,
  '2xlarge': 4,
  '4xlarge': 8,
  '8xlarge': 16,
  '12xlarge': 24,
  '16xlarge': 32,
};
const family = (name: string, large: number) =>
  Object.fromEntries(
    Object.entries(SIZES).map(([size, times]) => [`${name}.${size}`, Math.round(large * times * 1e4) / 1e4]),
  );

export const US_EAST_1: PriceList = {
  region: 'us-east-1',
  date: '2026-11-26',
  note: 'from memory of the public price list, ACU and CloudWatch prices confirmed by third parties; check before you rely on them',
  brokerHour: {
    'kafka.t3.small': 0.0456,
    ...family('kafka.m5', 0.21),
    ...family('kafka.m7g', 0.204),
    ...family('express.m7g', 0.408),
  },
  prices,
};

/**
 * Reads a price file: the same shape as `millrace cost --json` prints under `prices`.
 * @throws TypeError saying what is missing, or is no number
 */
export function parsePriceList(text: string): PriceList {
  const list = JSON.parse(text) as Partial<PriceList>;
  for (const field of ['region', 'date', 'note'] as const) {
    if (typeof list[field] !== 'string') throw new TypeError(`${field} is missing, or is no text`);
  }
  const isPrice = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
  for (const name of Object.keys(prices) as PriceName[]) {
    const { usd, per, source } = list.prices?.[name] ?? {};
    if (!isPrice(usd)) throw new TypeError(`prices.${name}.usd is missing, or is no number from 0`);
    if (typeof per !== 'string' || typeof source !== 'string')
      throw new TypeError(`prices.${name} has no "per", or no "source"`);
  }
  const brokers = Object.entries(list.brokerHour ?? {});
  if (brokers.length === 0) throw new TypeError('brokerHour is missing');
  const wrong = brokers.find(([, usd]) => !isPrice(usd));
  if (wrong) throw new TypeError(`brokerHour["${wrong[0]}"] is no number from 0`);
  return list as PriceList;
}

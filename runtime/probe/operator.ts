import type { Contract } from '../contract/contract.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import { probeConsumer, probes } from './pipeline.ts';

/** An app as an environment deploys it: with the probe's topic and consumer, where the environment has them. */
export function withProbe<
  Declared extends {
    readonly contracts: readonly Contract<never>[];
    readonly consumers: readonly AnyConsumer[];
  },
>(app: Declared, { probe = false }: { readonly probe?: boolean }): Declared {
  if (!probe) return app;
  return {
    ...app,
    contracts: [...app.contracts, probes as unknown as Contract<never>],
    consumers: [...app.consumers, probeConsumer],
  };
}
